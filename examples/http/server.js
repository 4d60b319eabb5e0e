/** A server as any other: it would run alone as well. Notes each request in an access log. */

import { appendFile } from 'node:fs/promises';
import { createServer } from 'node:http';

const { PORT = '8000', LOG = 'access.log' } = process.env;

const server = createServer(async ({ method, url }, response) => {
  await appendFile(LOG, `${new Date().toISOString()} ${process.pid} ${method} ${url}\n`);
  response.end(`${process.pid}\n`);
});
server.listen(Number(PORT), '127.0.0.1');
