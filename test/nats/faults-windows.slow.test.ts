/** Windows over three machines on a real nats-server, while machines, coordinators and the server fail. */

import { setTimeout as sleep } from 'node:timers/promises';
import { fleetPool, type Member } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { memberSubject } from '#src/nats/subjects.js';
import { rejects, until } from '../support/helpers.js';
import { Fleet, HEARTBEAT, LEASE, type Machine, Outcomes } from '../support/machines.js';
import { isMissing } from '../support/nats.js';
import { later } from '../support/processes.js';

interface Context {
  fleet: Fleet;
}

const it = suite<Context>('faults in windows');
const test = isMissing ? it.skip : it;

it.before(async (context) => {
  if (!isMissing) context.fleet = await Fleet.start();
});

it.after(async ({ fleet }) => {
  await fleet?.[Symbol.asyncDispose]();
});

const { bigint: now } = process.hrtime;

/**
 * Resolves with how long it took (ms) until a call was answered: one of several, since NATS also chooses a machine that is suspended,
 * and the caller notices that some time later.
 */
async function reopened(fleet: Fleet): Promise<number> {
  const from = performance.now();
  const call = () => fleet.pool.call(fleet.work(), { timeout: 20_000, idempotent: true });
  const calls = Array.from({ length: 8 }, call);
  await Promise.any(calls).catch(({ errors }: AggregateError) =>
    assert.unreachable(`no call was answered: ${errors[0]}`),
  );
  const took = performance.now() - from;
  settling.push(...calls);
  return took;
}

const settling: Promise<unknown>[] = [];

test('under load nothing runs in a window, on any machine, and no call is lost', async ({ fleet }) => {
  const outcomes = new Outcomes();
  const load = outcomes.load(fleet, { idempotent: false, ms: 5, timeout: 10_000 });
  for (let i = 0; i < 3; i++) {
    const [from, to] = await fleet.pool.applyWithin(async () => {
      const begun = now();
      await sleep(50);
      return [begun, now()] as const;
    });
    fleet.idleBetween(from, to);
  }
  await load.end();
  assert.equal([...outcomes.counts.keys()], ['done'], outcomes.show);
});

test('a machine is killed while a window waits for it: it counts as waited for', async ({ fleet }) => {
  const [victim] = fleet.machines.splice(0, 1) as [Machine];
  const long = fleet.machines.map(() => fleet.pool.call(fleet.work(3 * HEARTBEAT)).catch(() => {}));
  await victim.suspend(); // it will not acknowledge
  const opened = fleet.pool.applyWithin(() => fleet.pool.members().length, 0, { timeout: 20_000 });
  opened.catch(() => {});
  await sleep(HEARTBEAT);
  await victim.kill();
  assert.is(await opened, 2);
  await Promise.all(long);
  await fleet.add();
  await fleet.sees(3);
});

test('a machine that was suspended wakes up in a window: it begins nothing that it was sent before', async ({
  fleet,
}) => {
  const sleeper = fleet.machines[0] as Machine;
  await sleeper.suspend();
  const outcomes = new Outcomes();
  for (let i = 0; i < 30; i++)
    outcomes.add(fleet.pool.call(fleet.work(), { idempotent: true, timeout: 10_000 }));
  const [from, to] = await fleet.pool.applyWithin(
    async () => {
      const begun = now();
      sleeper.resume();
      await fleet.sees(3);
      await sleep(2 * HEARTBEAT);
      return [begun, now()] as const;
    },
    0,
    { timeout: 10_000 },
  );
  await outcomes.settled();
  fleet.idleBetween(from, to);
  assert.equal([...outcomes.counts.keys()], ['done'], outcomes.show);
});

test('a machine that joins in a window stays closed', async ({ fleet }) => {
  // So long a lease that no renewal tells of the window meanwhile: who joins has to have looked.
  const patient = fleetPool(fleet.nc, 'work', { lease: 60_000 });
  const outcomes = new Outcomes();
  const before = new Set(fleet.pool.members().map(({ id }) => id));
  const [from, to] = await patient.applyWithin(async () => {
    const begun = now();
    await fleet.add();
    await fleet.sees(4);
    for (let i = 0; i < 12; i++) outcomes.add(fleet.other.call(fleet.work(), { timeout: 10_000 }));
    // Callers know of the window, and send nothing. One that did not would be refused.
    const { id } = fleet.pool.members().find((member) => !before.has(member.id)) as Member;
    const answer = await fleet.nc.request(memberSubject('work', id), JSON.stringify(fleet.work()));
    assert.is(answer.headers?.get('Ballermann-Error'), 'ERR_PAUSED');
    await sleep(100);
    return [begun, now()] as const;
  });
  patient.close();
  await outcomes.settled();
  fleet.idleBetween(from, to);
  assert.is(outcomes.of('done'), 12, outcomes.show);
  await fleet.machines.pop()?.stop();
  await fleet.sees(3);
});

test('the coordinator is killed in its window: the pool opens again by the lease', async ({ fleet }) => {
  const [coordinator] = fleet.machines.splice(0, 1) as [Machine];
  coordinator.ask({ window: true });
  await coordinator.says('inWindow');
  await coordinator.kill();
  const took = await reopened(fleet);
  assert.ok(took < 2 * LEASE + 500, `${took} ms`);
  await fleet.add();
  await fleet.sees(3);
});

test('the coordinator is suspended for longer than its lease: the others open, and its function is told', async ({
  fleet,
}) => {
  const coordinator = fleet.machines[0] as Machine;
  coordinator.ask({ window: true });
  await coordinator.says('inWindow');
  await coordinator.suspend();
  await sleep(LEASE);
  const took = await reopened(fleet).finally(() => coordinator.resume());
  assert.ok(took < LEASE + 500, `${took} ms`);
  await coordinator.says('windowLost');
  await fleet.sees(3);
  await Promise.all(settling.splice(0)); // of idempotent calls none is lost
});

test('a slow machine: the window waits for what runs there; past its time limit it says whom it waited for', async ({
  fleet,
}) => {
  const work = fleet.work(800);
  const slow = later(fleet.pool.call(work));
  await until(() => fleet.diary.some(({ id }) => id === work.id), 'its beginning');
  const error = await rejects(
    fleet.pool.applyWithin(() => assert.unreachable(), 0, { timeout: 200 }),
    'ERR_TIMEOUT',
  );
  const ids = fleet.pool.members().map(({ id }) => id);
  assert.is(ids.filter((id) => error.message.includes(id)).length, 1, error.message);
  await fleet.pool.applyWithin(() => {
    assert.ok(fleet.diary.some(({ id, what }) => id === work.id && what === 'end'));
  });
  await slow;
});

test('the server is killed in a window and comes back with its store: the window goes on, and all open at its end', async ({
  fleet,
}) => {
  // So long a lease that nothing which is asserted here can be the lapse of it.
  const patient = fleetPool(fleet.nc, 'work', { lease: 60_000 });
  const aborted = await patient.applyWithin(async ({ signal }) => {
    await fleet.server.restart();
    await sleep(200);
    return signal.aborted;
  });
  assert.not(aborted);
  const took = await reopened(fleet);
  assert.ok(took < 10_000, `${took} ms`);
  await fleet.sees(3);
  await fleet.pool.applyWithin(() => {}, 0, { timeout: 10_000 }); // the key is free too
  patient.close();
});

test('the server is gone for longer than the lease: the signal aborts in time, and all open once it is back', async ({
  fleet,
}) => {
  let aborted = Number.NaN;
  const began = performance.now();
  const window = fleet.pool.applyWithin(async ({ signal }) => {
    await fleet.server.kill();
    const killed = performance.now();
    signal.addEventListener('abort', () => {
      aborted = performance.now() - killed;
    });
    await until(() => signal.aborted, 'the abort');
  });
  await rejects(window, 'ERR_DISCONNECTED');
  assert.ok(aborted <= LEASE, `${aborted} ms`);
  assert.ok(performance.now() - began < 10_000);
  await fleet.server.start();
  await reopened(fleet);
  await fleet.sees(3);
});

it.run();
