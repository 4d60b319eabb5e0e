/** A fastify server as any other. Reads its settings from a file at each request. */

import { readFile } from 'node:fs/promises';
import fastify from 'fastify';

const { PORT = '8000', SETTINGS } = process.env;
const app = fastify();

app.get('/', async () => {
  const settings = JSON.parse(await readFile(SETTINGS, 'utf8'));
  return { pid: process.pid, edition: settings.edition };
});

await app.listen({ host: '127.0.0.1', port: Number(PORT) });
