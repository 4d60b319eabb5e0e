/** The tests of the Erlang original, told again on real replicas. */

import {
  applyWithin,
  type Balancer,
  balance,
  call,
  type DownEvent,
  pid,
  ping,
  refresh,
  type Supervisor,
} from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { killed, next, rejects, start, tally, throws, times, until } from '../support/helpers.js';

function isDisconnected(name: string, cause?: string): void {
  const error = throws(() => pid(name), 'ERR_DISCONNECTED');
  assert.is((error.cause as { code?: string } | undefined)?.code, cause);
}

/** Kills every replica at once and waits until the primary has seen the last of them. */
async function killAll(supervisor: Supervisor): Promise<void> {
  const pids = supervisor.children().map((child) => child.pid as number);
  const downs = pids.map((victim) => killed(supervisor, victim));
  await Promise.all(downs);
}

/** The replicas that are up, all of them. */
async function allUp(supervisor: Supervisor): Promise<number[]> {
  await until(() => supervisor.children().every(({ state }) => state === 'up'), 'all are up again');
  return supervisor.children().map((child) => child.pid as number);
}

test('balance: 1, 2, 3 and 1 again', async () => {
  await using supervisor = await start({ replicas: 3 });
  const pool = await balance(supervisor, 'order');
  const [one, two, three, again] = times(4, () => pid('order'));
  assert.is(new Set([one, two, three]).size, 3);
  assert.is(again, one);
  assert.equal(
    times(3, () => pool.pid()),
    [two, three, one],
  );
  const children = supervisor.children().map((child) => child.pid);
  assert.equal([one, two, three].sort(), children.sort());
});

test('applyWithin: nothing is handed out until the function has ended; its result is the result', async () => {
  await using supervisor = await start({ replicas: 3 });
  const pool = await balance(supervisor, 'within');
  const order = times(3, () => pid('within'));

  const result = await applyWithin('within', async () => {
    throws(() => pid('within'), 'ERR_PAUSED');
    await ping(order[0] as number); // and goes on doing so
    throws(() => pid('within'), 'ERR_PAUSED');
    return { done: 'at once' };
  });
  assert.equal(result, { done: 'at once' });
  assert.equal(order.includes(pid('within')), true);

  assert.is(await applyWithin('within', () => 'no wait', 0), 'no wait');

  let isDone = false;
  const paused = next(pool, 'pause');
  const waited = pool.applyWithin(() => {
    isDone = true;
    return 'after 50 ms';
  }, 50);
  await paused;
  throws(() => pid('within'), 'ERR_PAUSED');
  assert.not.ok(isDone);
  assert.is(await waited, 'after 50 ms');
  assert.ok(isDone);
  assert.ok(order.includes(pid('within')));
});

test('applyWithin with a function: called with each pid at once, and all are waited for', async () => {
  await using supervisor = await start({ replicas: 3 });
  await balance(supervisor, 'each');
  const order = times(3, () => pid('each'));
  const steps: string[] = [];
  const released = new Map<number, () => void>();
  const window = applyWithin(
    'each',
    () => {
      steps.push('fn');
      return steps.length;
    },
    async (replica) => {
      await call(replica, 'hello');
      await new Promise<void>((release) => released.set(replica, release));
      steps.push(`waited`);
    },
  );
  await until(() => released.size === 3, 'the function is called with every pid before the first has ended');
  assert.equal([...released.keys()].sort(), order.sort());
  throws(() => pid('each'), 'ERR_PAUSED');
  assert.equal(steps, []);
  for (const release of released.values()) release();
  assert.is(await window, 4);
  assert.equal(steps, ['waited', 'waited', 'waited', 'fn']);
  assert.ok(order.includes(pid('each')));

  const pinged: number[] = [];
  await applyWithin(
    'each',
    () => {},
    (replica) => {
      pinged.push(replica);
      return ping(replica);
    },
  );
  assert.equal(pinged.sort(), order);
});

test('applyWithin passes on what its function throws, and hands out again', async () => {
  await using supervisor = await start();
  await balance(supervisor, 'throwing');
  const failure = new Error('from within');
  for (const fn of [
    () => {
      throw failure;
    },
    () => Promise.reject(failure),
  ]) {
    assert.is(await applyWithin('throwing', fn).catch((error) => error), failure);
    assert.type(pid('throwing'), 'number');
  }
});

test('no supervisor: a closed one is refused at once', async () => {
  const supervisor = await start();
  await supervisor.close();
  assert.equal(supervisor.children(), []);
  await rejects(balance(supervisor, 'nothing'), 'ERR_CLOSED');
  throws(() => pid('nothing'), 'ERR_NO_SUCH_POOL');

  await using other = await start();
  await balance(other, 'nothing'); // the name was not taken
});

test('no supervisor: one that gave up is refused with that reason', async () => {
  await using supervisor = await start({ intensity: 0 });
  const gaveUp = next(supervisor, 'gaveUp');
  void killed(supervisor, supervisor.children()[0]?.pid as number);
  await gaveUp;
  await rejects(balance(supervisor, 'given up'), 'ERR_RESTART_INTENSITY');
});

test('no children at start: disconnected, and looks again until there are some', async () => {
  await using supervisor = await start({ restart: 'temporary' });
  await killAll(supervisor);
  assert.equal(supervisor.children(), []);
  const pool = await balance(supervisor, 'childless', { reconnectDelay: 20 });
  isDisconnected('childless');
  assert.equal(pool.pids(), []);
  await rejects(call('childless', 'anybody?'), 'ERR_DISCONNECTED');

  let looks = 0;
  pool.on('refresh', ({ pids }) => {
    if (pids.length === 0) looks++;
  });
  await until(() => looks >= 4, 'the pool looks again and again');
  isDisconnected('childless');

  const connected = next(pool, 'connect');
  await supervisor.resize(2);
  await connected;
  assert.is(new Set(times(2, () => pid('childless'))).size, 2);
});

test('no children at start: a pool that is not to connect waits for a refresh', async () => {
  await using supervisor = await start({ intensity: 100 });
  const pool = await balance(supervisor, 'unconnected', { connect: false, reconnectDelay: 1 });
  const error = throws(() => pid('unconnected'), 'ERR_DISCONNECTED');
  assert.match(error.message, 'connect is false');
  await killed(supervisor, supervisor.children()[0]?.pid as number);
  await allUp(supervisor);
  isDisconnected('unconnected');
  assert.equal(pool.pids(), []);
  await refresh('unconnected');
  assert.is(new Set(times(2, () => pid('unconnected'))).size, 2);
});

test('children gone later: disconnected until they are back', async () => {
  await using supervisor = await start({ replicas: 3, intensity: 100 });
  const pool = await balance(supervisor, 'gone', { reconnectDelay: 20 });
  const before = pool.pids();
  const disconnected = next(pool, 'disconnect');
  await Promise.all([killAll(supervisor), disconnected.then(() => isDisconnected('gone'))]);
  const pids = await allUp(supervisor);
  await until(() => pool.pids().length === 3, 'the pool has them again');
  assert.equal(pool.pids().sort(), pids.sort());
  assert.not.ok(pids.some((replica) => before.includes(replica)));
  isEven(pool, pids);
});

test('children gone for good later: disconnected, and connected with the next ones', async () => {
  await using supervisor = await start({ restart: 'temporary' });
  const pool = await balance(supervisor, 'for good', { reconnectDelay: 20 });
  assert.type(pid('for good'), 'number');
  await killAll(supervisor);
  isDisconnected('for good');
  await supervisor.resize(3);
  await until(() => pool.pids().length === 3, 'the pool has the new ones');
  isEven(
    pool,
    supervisor.children().map((child) => child.pid as number),
  );
});

test('supervisor gone later: closed', async () => {
  const supervisor = await start();
  await balance(supervisor, 'closed');
  assert.type(pid('closed'), 'number');
  const closed = supervisor.close();
  isDisconnected('closed', 'ERR_CLOSED'); // at once, not when the last replica is gone
  await closed;
  isDisconnected('closed', 'ERR_CLOSED');
  await rejects(call('closed', 'anybody?'), 'ERR_DISCONNECTED');
  await rejects(refresh('closed'), 'ERR_DISCONNECTED');
});

test('supervisor gone later: gave up', async () => {
  await using supervisor = await start({ intensity: 1, period: 60_000, replicas: 3 });
  await balance(supervisor, 'gave up');
  const gaveUp = next(supervisor, 'gaveUp');
  const closed = next(supervisor, 'close');
  await killed(supervisor, pid('gave up'));
  assert.type(pid('gave up'), 'number');
  const [down] = await Promise.all([killed(supervisor, pid('gave up')), gaveUp]);
  assert.is((down as DownEvent).restart, false);
  isDisconnected('gave up', 'ERR_RESTART_INTENSITY');
  await closed;
  assert.equal(supervisor.children(), []);
  isDisconnected('gave up', 'ERR_RESTART_INTENSITY');
});

test('exits above and below the ratio: the others share exactly, then the new ones come in', async () => {
  await using supervisor = await start({ replicas: 3, intensity: 100 });
  const pool = await balance(supervisor, 'ratio', 0.5);
  const [one, two, three] = pool.pids() as [number, number, number];
  pool.pid();

  await killed(supervisor, two); // 2 of 3
  await allUp(supervisor);
  isEven(pool, [one, three]);

  await killed(supervisor, one); // 1 of 3
  const pids = await allUp(supervisor);
  await until(() => pool.pids().length === 3, 'the refresh');
  isEven(pool, pids);
  assert.ok(pids.includes(three));
});

function isEven(pool: Balancer, pids: readonly number[]): void {
  const counts = tally(times(20 * pids.length, () => pool.pid()));
  assert.equal([...counts.keys()].sort(), [...pids].sort());
  assert.equal([...new Set(counts.values())], [20]);
}

test.run();
