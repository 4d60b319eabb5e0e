/**
 * An express server in four processes that share a cache on disk, and the cache emptied while no request uses it.
 *
 *   node examples/express/main.js      environment: PORT (8000)
 *   curl -i http://127.0.0.1:8000/page says who made the page, and (x-pid) who answered
 *   kill -USR2 <primary>               a window: requests wait while the cache is removed and made anew
 *   kill -HUP <primary>                a reload: new replicas first, then the old ones leave
 *   Ctrl-C                             running requests are finished
 */

import cluster from 'node:cluster';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyWithin, balance, ping, supervise } from 'ballermann';

const CACHE = mkdtempSync(join(tmpdir(), 'pages-'));
process.on('exit', () => rmSync(CACHE, { recursive: true }));
const exec = new URL('./server.js', import.meta.url);
const listening = once(cluster, 'listening');
const supervisor = await supervise({ exec, replicas: 4, env: { CACHE } });
await balance(supervisor, 'express');
const [, { port }] = await listening;
console.log(`http://127.0.0.1:${port}/page by primary ${process.pid}`);

async function empty() {
  await rm(CACHE, { recursive: true });
  await mkdir(CACHE);
}

process.on('SIGUSR2', () => {
  applyWithin('express', empty, (pid) => ping(pid)).then(() => console.log('cache emptied'), console.error);
});
