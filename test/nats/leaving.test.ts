/** A machine that leaves, or ends, at the worst moment: with calls on their way to it, and with answers on their way from it. */

import { setTimeout as sleep } from 'node:timers/promises';
import { balance } from 'ballermann';
import { fleetPool, join } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { client } from '../support/fleet.js';
import { start, times, until } from '../support/helpers.js';
import { Fleet } from '../support/machines.js';
import { isMissing, NatsServer } from '../support/nats.js';
import { isAlive } from '../support/processes.js';

const it = suite('leaving a fleet');
const test = isMissing ? it.skip : it;

test('calls that the server had sent to a machine before it left are answered by another, at once', async () => {
  await using server = await NatsServer.start();
  await using supervisor = await start({ replicas: 1 });
  const balancer = await balance(supervisor, 'left');
  const [nc, other, far] = await Promise.all([client(server), client(server), client(server)]);
  const leaver = await join(nc, balancer);
  await join(other, balancer);
  await using fleet = fleetPool(far, 'left');
  await until(() => fleet.members().length === 2, 'both members');
  await fleet.call('warm');
  const calls = Promise.all(times(40, () => fleet.call('to either')));
  await null; // the client writes after this turn
  await null;
  // The server delivers them meanwhile. Nothing is read here until the machine has begun to leave.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
  const left = leaver.leave();
  assert.is((await calls).length, 40);
  await left;
  await Promise.all([nc, other, far].map((one) => one.close()));
});

test('a process that ends right after supervisor.close() has given its last answers to the server', async () => {
  await using fleet = await Fleet.start({ machines: 1, heartbeat: 2_000 });
  const [machine] = fleet.machines as [Fleet['machines'][0]];
  await fleet.sees(1);
  const calls = times(24, () => fleet.pool.call(fleet.work(200, 900_000), { timeout: 30_000 }));
  const results = Promise.all(calls);
  results.catch(() => {});
  const counts = (what: string) => fleet.diary.filter((entry) => entry.what === what).length;
  await until(() => counts('begin') === 24, 'all to have begun');
  await fleet.server.suspend(); // what is written to it now stays in the process, but for what the sockets take
  machine.ask({ end: true });
  await until(() => !machine.replicas.some(isAlive), 'its replicas to have ended, and so to have answered');
  await Promise.race([machine.exited, sleep(200)]);
  const hadEnded = !machine.isThere;
  fleet.server.resume();
  await machine.exited;
  const answers = (await results) as { pad: string }[];
  assert.is(answers.filter(({ pad }) => pad.length === 900_000).length, 24);
  assert.not(hadEnded);
  await fleet.sees(0);
});

it.run();
