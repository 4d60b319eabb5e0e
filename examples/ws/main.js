/**
 * A WebSocket server in four processes. A window holds new connections; messages on open ones go on.
 *
 *   node examples/ws/main.js          environment: PORT (8000)
 *   kill -USR2 <primary>              a window of a second: who connects now waits for its end
 *   kill -HUP <primary>               a reload: new replicas first; then the clients of the old ones are told by
 *                                     close code 1012 (service restart) to connect again
 *   Ctrl-C                            the same for all
 */

import cluster from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyWithin, balance, ping, supervise } from 'ballermann';

const exec = new URL('./server.js', import.meta.url);
const listening = once(cluster, 'listening');
const supervisor = await supervise({ exec, replicas: 4 });
await balance(supervisor, 'ws');
const [, { port }] = await listening;
console.log(`ws://127.0.0.1:${port}/ by primary ${process.pid}`);

async function maintain() {
  console.log('window begins');
  await sleep(1000);
}

process.on('SIGUSR2', () => {
  applyWithin('ws', maintain, (pid) => ping(pid)).then(() => console.log('window over'), console.error);
});
