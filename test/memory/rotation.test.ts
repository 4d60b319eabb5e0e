/** Every pid in its turn, exactly: for each caller alone, and for all callers of a cluster together. */

import { applyWithin, type Balancer, balance, call, pid } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejects, spread, start, Thread, tally, throws, times, until } from '../support/helpers.js';

/** More than three of the blocks of 1,024 tickets that a caller takes at once. */
const MANY = 3_500;

/** Any k·n consecutive hand-outs hold each of n pids k times: the same as a repetition of one order. */
function isRotation(handedOut: readonly number[], pids: readonly number[]): void {
  const n = pids.length;
  assert.equal([...new Set(handedOut.slice(0, n))].sort(), [...pids].sort());
  for (let i = n; i < handedOut.length; i++)
    if (handedOut[i] !== handedOut[i - n])
      assert.unreachable(`hand-out ${i} breaks the order: ${handedOut.slice(i - n, i + 1)}`);
}

/** The pids that a replica hands out. */
function handedOutBy(replica: number, pool: string, count: number): Promise<number[]> {
  return call<number[]>(replica, { op: 'pid', pool, count });
}

test('k·n hand-outs give each pid k, for 1, 2, 3 and 7 replicas, across blocks', async () => {
  await using supervisor = await start({ replicas: 1 });
  const pool = await balance(supervisor, 'exact');
  for (const replicas of [1, 2, 3, 7]) {
    await supervisor.resize(replicas);
    await until(() => pool.pids().length === replicas, `${replicas} replicas in rotation`);
    isRotation(
      times(MANY, () => pool.pid()),
      pool.pids(),
    );
    // By name and by object the pool is one caller.
    isRotation(times(3 * replicas, () => [pool.pid(), pid('exact')]).flat(), pool.pids());
  }
});

test('threads and replicas hand out in turn as well', async () => {
  await using supervisor = await start({ replicas: 3 });
  const pool = await balance(supervisor, 'elsewhere');
  await using thread = new Thread();
  isRotation(await thread.ask({ op: 'pid', pool: 'elsewhere', count: MANY }), pool.pids());
  for (const replica of pool.pids()) isRotation(await handedOutBy(replica, 'elsewhere', MANY), pool.pids());
});

test('two pools over one supervisor do not move each other', async () => {
  await using supervisor = await start({ replicas: 3 });
  const [one, other] = [await balance(supervisor, 'one'), await balance(supervisor, 'other')];
  const taken: [number[], number[]] = [[], []];
  for (let i = 0; i < MANY; i++) {
    taken[0].push(one.pid());
    if (i % 3 === 0) taken[1].push(other.pid());
  }
  isRotation(taken[0], one.pids());
  isRotation(taken[1], other.pids());
  await one.applyWithin(() => {
    throws(() => one.pid(), 'ERR_PAUSED');
    taken[1].push(other.pid());
  });
  isRotation(taken[1], other.pids());
});

test('all callers of a cluster together stay within a spread of their number', async () => {
  await using supervisor = await start({ replicas: 4 });
  const pool = await balance(supervisor, 'together');
  await using thread = new Thread();
  await using second = new Thread();
  const callers = 3 + 4;
  const all: number[] = [];
  // No multiple of 4, so that each caller stops somewhere in the middle; and some cross a block.
  for (const [round, count] of [1, 2, 3, 101, 1_023, 1_030].entries()) {
    all.push(...times(count, () => pool.pid()));
    const elsewhere = [
      thread.ask<number[]>({ op: 'pid', pool: 'together', count: count + 2 }),
      second.ask<number[]>({ op: 'pid', pool: 'together', count }),
      ...pool.pids().map((replica, i) => handedOutBy(replica, 'together', count + i + round)),
    ];
    for (const some of await Promise.all(elsewhere)) all.push(...some);
    const counts = tally(all);
    assert.is(counts.size, 4);
    assert.ok(spread([...counts.values()]) <= callers, `${[...counts.values()]} after round ${round}`);
  }
});

test('callers that take one pid each do not all begin with the same replica', async () => {
  await using supervisor = await start({ replicas: 4 });
  const pool = await balance(supervisor, 'first');
  const firsts = await Promise.all(pool.pids().map((replica) => handedOutBy(replica, 'first', 1)));
  assert.equal(firsts.flat().sort(), pool.pids().sort());
});

test('a window loses no ticket: each caller goes on where it was', async () => {
  await using supervisor = await start({ replicas: 3 });
  const pool = await balance(supervisor, 'paused');
  await using thread = new Thread();
  const [replica] = pool.pids() as [number];
  const callers: ((count: number) => Promise<number[]>)[] = [
    async (count) => times(count, () => pool.pid()),
    (count) => thread.ask({ op: 'pid', pool: 'paused', count }),
    (count) => handedOutBy(replica, 'paused', count),
  ];
  for (const take of callers) {
    const taken = await take(4);
    // With an attempt inside the window, and without one.
    await pool.applyWithin(() => refusal(take(1)));
    taken.push(...(await take(4)));
    await pool.applyWithin(() => {});
    taken.push(...(await take(4)));
    isRotation(taken, pool.pids());
  }
});

/** Waits until the caller was refused; a replica's refusal comes wrapped, as whatever a handler throws. */
function refusal(taking: Promise<unknown>): Promise<void> {
  return taking.then(
    () => assert.unreachable('handed out inside a window'),
    () => {},
  );
}

test('a replica with maxQueueLength unfinished messages is passed over, by every caller', async () => {
  await using supervisor = await start({ replicas: 3 });
  const pool = await balance(supervisor, 'queue', { maxQueueLength: 2 });
  const [a, b, c] = pool.pids() as [number, number, number];
  await using thread = new Thread();
  await withBusy([a, a], pool, async () => {
    const taken = times(60, () => pool.pid());
    assert.equal([...new Set(taken)].sort(), [b, c].sort());
    const inThread = await thread.ask<number[]>({ op: 'pid', pool: 'queue', count: 60 });
    assert.equal([...new Set(inThread)].sort(), [b, c].sort());
    // b has one message, this one, and may have two.
    assert.equal([...new Set(await handedOutBy(b, 'queue', 60))].sort(), [b, c].sort());
    for (let i = 0; i < 4; i++)
      assert.is.not(await pool.call<{ pid: number }>('hello').then((reply) => reply.pid), a);
  });
  isRotation(
    times(60, () => pool.pid()),
    [a, b, c],
  );
});

test('ERR_OVERLOAD where every replica has maxQueueLength messages, until one has finished', async () => {
  await using supervisor = await start({ replicas: 2 });
  const pool = await balance(supervisor, 'full', { maxQueueLength: 1 });
  const [a, b] = pool.pids() as [number, number];
  await using thread = new Thread();
  await withBusy([a], pool, async () => {
    const isFull = withBusy([b], pool, async () => {
      throws(() => pool.pid(), { code: 'ERR_OVERLOAD', message: /'full'/ });
      throws(() => pid('full'), 'ERR_OVERLOAD');
      throws(() => pool.cast('no room'), 'ERR_OVERLOAD');
      await rejects(pool.call('no room'), 'ERR_OVERLOAD');
      await rejects(
        pool.transaction(() => assert.unreachable()),
        'ERR_OVERLOAD',
      );
      await rejects(thread.ask({ op: 'pid', pool: 'full', count: 1 }), 'ERR_OVERLOAD');
      const refused = await rejects(handedOutBy(b, 'full', 1), 'ERR_REMOTE');
      assert.is((refused.cause as { code?: string }).code, 'ERR_OVERLOAD');
      // The hand-out is refused, a window is not.
      await applyWithin('full', () => {});
    });
    await isFull;
    assert.equal([...new Set(times(10, () => pool.pid()))], [b]);
  });
  assert.is(new Set(times(10, () => pool.pid())).size, 2);
});

/** Runs `fn` while each of the replicas, as often as it is named, has a message that it does not finish. */
async function withBusy(replicas: number[], pool: Balancer, fn: () => Promise<void>): Promise<void> {
  const busy = new AbortController();
  const before = unfinished(pool);
  const calls = replicas.map((replica) => call(replica, { op: 'hang' }, { signal: busy.signal }));
  const ended = Promise.allSettled(calls);
  try {
    await fn();
  } finally {
    busy.abort();
    await ended;
    await until(() => unfinished(pool) === before, 'the replicas have finished');
  }
}

function unfinished(pool: Balancer): number {
  return pool.stats().replicas.reduce((sum, replica) => sum + replica.unfinished, 0);
}

test.run();
