/** Three machines on a real nats-server under load: one is killed, one is suspended, one is slow, all are restarted in turn. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rejects, tally, until } from '../support/helpers.js';
import { Fleet, HEARTBEAT, type Machine, Outcomes } from '../support/machines.js';
import { isMissing } from '../support/nats.js';

interface Context {
  fleet: Fleet;
}

const it = suite<Context>('faults of machines');
const test = isMissing ? it.skip : it;

it.before(async (context) => {
  if (!isMissing) context.fleet = await Fleet.start();
});

it.after(async ({ fleet }) => {
  await fleet?.[Symbol.asyncDispose]();
});

/** No call of these was begun twice. */
function onceEach(fleet: Fleet, ids: Iterable<string>): void {
  const begun = tally(fleet.diary.filter(({ what }) => what === 'begin').map(({ id }) => id));
  assert.equal(
    [...ids].filter((id) => (begun.get(id) ?? 0) > 1),
    [],
  );
}

/** Waits until a machine works on something. */
async function works({ pid }: Machine, fleet: Fleet): Promise<void> {
  const begun = () => fleet.diary.filter(({ primary }) => primary === pid).length;
  const before = begun();
  await until(() => begun() > before, `work of machine ${pid}`);
}

test('a machine is killed under load: of idempotent calls none is lost, others are rejected as begun there', async ({
  fleet,
}) => {
  const [victim] = fleet.machines.splice(0, 1) as [Machine];
  const idempotent = new Outcomes();
  const others = new Outcomes();
  const loads = [
    idempotent.load(fleet, { idempotent: true, ms: 20 }),
    others.load(fleet, { idempotent: false, ms: 20 }),
  ];
  await works(victim, fleet);
  const before = fleet.diary.length;
  await victim.kill();
  await until(() => fleet.diary.length > before + 400, 'calls after the kill');
  await Promise.all(loads.map((load) => load.end()));

  assert.equal([...idempotent.counts.keys()], ['done'], idempotent.show);
  assert.equal([...others.counts.keys()].sort(), ['ERR_REPLICA_DIED', 'done'], others.show);
  assert.ok(others.of('ERR_REPLICA_DIED') <= 16, others.show); // what was in flight
  onceEach(fleet, others.done);
  await fleet.sees(2);
  await fleet.add();
  await fleet.sees(3);
});

test('a machine is suspended for longer than its heartbeat: its calls go elsewhere or say so, and it comes back', async ({
  fleet,
}) => {
  const stopped = fleet.machines[0] as Machine;
  const idempotent = new Outcomes();
  const others = new Outcomes();
  const loads = [
    idempotent.load(fleet, { idempotent: true, ms: 20, timeout: 10_000 }),
    others.load(fleet, { idempotent: false, ms: 20, timeout: 10_000 }),
  ];
  await works(stopped, fleet);
  await stopped.suspend();
  await fleet.sees(2);
  const before = fleet.diary.length;
  await until(() => fleet.diary.length > before + 200, 'calls while it is suspended');
  stopped.resume();
  await fleet.sees(3);
  await works(stopped, fleet);
  await Promise.all(loads.map((load) => load.end()));
  assert.equal([...idempotent.counts.keys()], ['done'], idempotent.show);
  assert.equal(
    [...others.counts.keys()].filter((outcome) => !['done', 'ERR_REPLICA_DIED'].includes(outcome)),
    [],
    others.show,
  );
  onceEach(fleet, others.done);
});

test('a slow machine delays its own calls and no others', async ({ fleet }) => {
  let isOver = false;
  const slow = fleet.pool.call(fleet.work(5 * HEARTBEAT)).finally(() => {
    isOver = true;
  });
  await Promise.all(Array.from({ length: 30 }, () => fleet.pool.call(fleet.work())));
  assert.not(isOver);
  await slow;
  await rejects(fleet.pool.call(fleet.work(2_000), { timeout: 100 }), 'ERR_TIMEOUT');
});

test('a rolling restart of all machines under load loses nothing', async ({ fleet }) => {
  const outcomes = new Outcomes();
  const load = outcomes.load(fleet, { idempotent: false, ms: 5 });
  for (const old of fleet.machines.splice(0)) {
    const before = fleet.diary.length;
    await until(() => fleet.diary.length > before + 50, 'calls between two stops');
    assert.is(await old.stop(), 0);
    await fleet.add();
  }
  await load.end();
  assert.equal([...outcomes.counts.keys()], ['done'], outcomes.show);
  onceEach(fleet, outcomes.done);
});

test('a machine that leaves under load finishes what it has begun, and loses nothing', async ({ fleet }) => {
  const outcomes = new Outcomes();
  const load = outcomes.load(fleet, { idempotent: false, ms: 20 });
  const [leaving] = fleet.machines as [Machine];
  const entries = () => fleet.diary.filter(({ primary }) => primary === leaving.pid);
  // The server chooses the machine by chance: one that has got none of these may get one of the next.
  const long = new Set<string>();
  const callAgain = () => {
    const work = fleet.work(5 * HEARTBEAT);
    long.add(work.id);
    outcomes.add(fleet.pool.call(work));
  };
  await until(() => {
    callAgain();
    return entries().some(({ id }) => long.has(id));
  }, 'a long call that it has begun');
  leaving.ask({ leave: true });
  await leaving.says('left');
  const left = entries();
  const ended = left.filter(({ what }) => what === 'end');
  assert.is(left.length, 2 * ended.length, 'what it had begun it has finished');
  const all = fleet.diary.length;
  await until(() => fleet.diary.length > all + 50, 'calls after it has left');
  await load.end();
  assert.equal(entries(), left);
  assert.equal([...outcomes.counts.keys()], ['done'], outcomes.show);
  await fleet.sees(2);
});

it.run();
