/**
 * A fastify server in four processes, whose settings file is written in place while no request reads it.
 *
 *   node examples/fastify/main.js     environment: PORT (8000), SETTINGS (settings.json in the temporary folder)
 *   curl http://127.0.0.1:8000/       answers with the pid of the replica and the edition of the settings
 *   kill -USR2 <primary>              a window: requests wait while the next edition is written
 *   kill -HUP <primary>               a reload: new replicas first, then the old ones leave
 *   Ctrl-C                            running requests are finished
 */

import cluster from 'node:cluster';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyWithin, balance, ping, supervise } from 'ballermann';

const { SETTINGS = join(tmpdir(), 'settings.json') } = process.env;
let edition = 0;
const writeNext = () => writeFile(SETTINGS, JSON.stringify({ edition: ++edition }));

await writeNext();
const exec = new URL('./server.js', import.meta.url);
const listening = once(cluster, 'listening');
const supervisor = await supervise({ exec, replicas: 4, env: { SETTINGS } });
await balance(supervisor, 'fastify');
const [, { port }] = await listening;
console.log(`http://127.0.0.1:${port}/ by primary ${process.pid}`);

process.on('SIGUSR2', () => {
  applyWithin('fastify', writeNext, (pid) => ping(pid)).then(
    () => console.log(`edition ${edition}`),
    console.error,
  );
});
