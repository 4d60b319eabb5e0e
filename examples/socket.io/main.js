/**
 * A Socket.IO server in four processes. A session of long polling is many requests on several connections, and all of
 * them must come to the process that knows the session: `sticky` brings all connections of one client address to one
 * replica.
 *
 *   node examples/socket.io/main.js   environment: PORT (8000)
 *   kill -USR2 <primary>              a window of a second: polls wait, what open WebSockets carry goes on
 *   kill -HUP <primary>               a reload: new replicas first, then the old ones leave; clients connect again
 *   Ctrl-C                            running requests are finished
 */

import cluster from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyWithin, balance, ping, supervise } from 'ballermann';

const exec = new URL('./server.js', import.meta.url);
const listening = once(cluster, 'listening');
const supervisor = await supervise({ exec, replicas: 4, sticky: true });
await balance(supervisor, 'socket.io');
const [, { port }] = await listening;
console.log(`http://127.0.0.1:${port}/ by primary ${process.pid}`);

async function maintain() {
  console.log('window begins');
  await sleep(1000);
}

process.on('SIGUSR2', () => {
  applyWithin('socket.io', maintain, (pid) => ping(pid)).then(
    () => console.log('window over'),
    console.error,
  );
});
