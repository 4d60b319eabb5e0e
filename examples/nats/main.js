/**
 * Three machines, played by three processes, and a caller that shares its work among them. It opens a window over all of them,
 * restarts one after the other under load, and ends. It needs a server: nats-server -js
 *
 *   NATS_URL=nats://127.0.0.1:4222 node examples/nats/main.js
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { connect } from '@nats-io/transport-node';
import { fleetPool } from 'ballermann/nats';

const nc = await connect({ servers: process.env.NATS_URL, maxReconnectAttempts: -1, timeout: 5_000 });
const fleet = fleetPool(nc, 'squares');
await fleet.ready; // rejects if the server has no JetStream
const script = fileURLToPath(new URL('./machine.js', import.meta.url));

let machines = await Promise.all([start(), start(), start()]);

const answers = await Promise.all(Array.from({ length: 300 }, (_, n) => fleet.call({ n })));
const shares = new Map();
for (const { machine } of answers) shares.set(machine, (shares.get(machine) ?? 0) + 1);
for (const [machine, share] of shares) console.log(`machine ${machine} computed ${share}`);

await fleet.applyWithin(() => console.log(`nothing runs now on ${fleet.members().length} machines`));

let computed = 0;
let isOver = false;
const load = Array.from({ length: 8 }, async () => {
  for (let n = 0; !isOver; n++) if ((await fleet.call({ n })).square === n * n) computed += 1;
});
const old = machines;
machines = [];
for (const machine of old) {
  machines.push(await start());
  await stop(machine);
}
isOver = true;
await Promise.all(load); // throws if any call was lost
console.log(`three restarts, ${computed > 0 ? 'no call' : 'nothing'} lost`);

await Promise.all(machines.map(stop));
await nc.close();

/** Resolves when the machine serves. */
async function start() {
  const machine = fork(script, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  await once(machine.stdout, 'data');
  machine.stdout.resume();
  return machine;
}

async function stop(machine) {
  const exited = once(machine, 'exit');
  machine.kill('SIGTERM');
  await exited;
}
