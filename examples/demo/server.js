/** A server as any other: reads the page that it is asked for, and says who answered, in which release, and when. */

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { now } from './clock.js';

const { FOLDER, RELEASE } = process.env;

const server = createServer(async ({ url }, response) => {
  const began = now();
  const page = /^\/(\d+)$/.exec(url)?.[1];
  const text = page && (await readFile(join(FOLDER, page)).catch(() => undefined));
  response.writeHead(text ? 200 : 404, {
    'content-length': text?.length ?? 0,
    'x-pid': process.pid,
    'x-release': RELEASE,
    'x-ran': `${began} ${now()}`,
  });
  response.end(text);
});
server.listen(0, '127.0.0.1');
