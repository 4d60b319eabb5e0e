/**
 * An HTTP server in four processes, and its access log copied and emptied while no request runs.
 *
 *   node examples/http/main.js        environment: PORT (8000), LOG (access.log in the temporary folder)
 *   curl http://127.0.0.1:8000/       answers with the pid of the replica; again and again
 *   kill -USR2 <primary>              a window: requests wait while the log is rotated
 *   kill -HUP <primary>               a reload: new replicas first, then the old ones leave
 *   Ctrl-C                            running requests are finished
 */

import cluster from 'node:cluster';
import { once } from 'node:events';
import { appendFile, copyFile, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyWithin, balance, ping, supervise } from 'ballermann';

const { LOG = join(tmpdir(), 'access.log') } = process.env;
await appendFile(LOG, ''); // so that there is one to rotate
const exec = new URL('./server.js', import.meta.url);
const listening = once(cluster, 'listening');
const supervisor = await supervise({ exec, replicas: 4, env: { LOG } });
await balance(supervisor, 'http');
const [, { port }] = await listening;
console.log(`http://127.0.0.1:${port}/ by primary ${process.pid}, log ${LOG}`);

let rotations = 0;

/** A line written between the two steps would be lost. */
async function rotate() {
  await copyFile(LOG, `${LOG}.${++rotations}`);
  await truncate(LOG);
}

process.on('SIGUSR2', () => {
  applyWithin('http', rotate, (pid) => ping(pid)).then(
    () => console.log(`rotation ${rotations}`),
    console.error,
  );
});
