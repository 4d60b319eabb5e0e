/** A process that has one contender's servers: tells the port, and how many connections each has had when asked. */

import cluster, { type Address, type Worker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { supervise } from 'ballermann';

const [contender, replicas] = process.argv.slice(2) as [string, string];
const exec = fileURLToPath(new URL('./server.js', import.meta.url));

process.on('message', async () => {
  const workers = Object.values(cluster.workers ?? {}) as Worker[];
  process.send?.(await Promise.all(workers.map(countOf)));
});
process.on('disconnect', () => process.exit());
process.on('SIGINT', () => {}); // reaches all of a terminal's processes; the end comes with the channel's

const port = allListen(Number(replicas));
if (contender === 'ballermann') {
  await supervise({ exec, replicas: Number(replicas) });
} else {
  cluster.schedulingPolicy = contender === 'SCHED_RR' ? cluster.SCHED_RR : cluster.SCHED_NONE;
  cluster.setupPrimary({ exec });
  for (let i = 0; i < Number(replicas); i++) cluster.fork();
}
process.send?.(await port);

function allListen(count: number): Promise<number> {
  let left = count;
  return new Promise((resolve) => {
    cluster.on('listening', (_worker: Worker, address: Address) => {
      if (--left === 0) resolve(address.port);
    });
  });
}

function countOf(worker: Worker): Promise<number> {
  return new Promise((resolve) => {
    worker.once('message', resolve);
    worker.send('count');
  });
}
