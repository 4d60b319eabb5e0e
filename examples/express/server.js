/** An express server as any other. Keeps the pages that it has made in a folder, which all replicas share. */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import express from 'express';

const { PORT = '8000', CACHE } = process.env;
const app = express();

app.get('/:page', async ({ params: { page } }, response) => {
  const file = join(CACHE, encodeURIComponent(page));
  const made = await readFile(file, 'utf8').catch(() => undefined);
  const text = made ?? `${page}, made by ${process.pid}\n`;
  if (made === undefined) await writeFile(file, text);
  response.set('x-pid', process.pid).type('text').send(text);
});

app.listen(Number(PORT), '127.0.0.1');
