/** How the next replica is chosen by 'least-queue'; round robin has its own file. */

import { balance, call, type Supervisor } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { attempt, gated, hold, noted, release, Thread, upPids } from '../support/gate.js';
import { rejects, tally, throws, times } from '../support/helpers.js';

const leastQueue = { selection: 'least-queue' } as const;

/** Gives a replica `count` calls that run until they are released. */
async function load(pid: number, count: number): Promise<{ free(): Promise<void> }> {
  const keys = times(count, () => `load ${Math.random()}`);
  const calls = keys.map((key) => call(pid, hold(key)));
  for (const key of keys) await noted(pid, `start ${key}`);
  return {
    async free() {
      for (const key of keys) await release(pid, key);
      await Promise.all(calls);
    },
  };
}

function busiest(supervisor: Supervisor): number {
  return upPids(supervisor)[0] as number;
}

for (const replicas of [2, 4, 5, 9]) {
  test(`of ${replicas} replicas, one that has more to do than the others is left alone`, async () => {
    await using supervisor = await gated({ replicas });
    await using pool = await balance(supervisor, `${replicas}`, leastQueue);
    const busy = busiest(supervisor);
    const { free } = await load(busy, 3);
    const counts = tally(times(200 * replicas, () => pool.pid()));
    assert.is(counts.get(busy), undefined);
    assert.is(counts.size, replicas - 1, 'all others get their part');
    await free();
    assert.ok(times(200 * replicas, () => pool.pid()).includes(busy), 'it is one of many again');
  });
}

test('among replicas with the same number of unfinished messages, it is a rotation', async () => {
  await using supervisor = await gated({ replicas: 3 });
  await using pool = await balance(supervisor, 'pool', leastQueue);
  const counts = tally(times(3000, () => pool.pid()));
  assert.equal([...counts.values()], [1000, 1000, 1000]);
});

test('calls in flight at once spread over all', async () => {
  await using supervisor = await gated({ replicas: 4 });
  await using pool = await balance(supervisor, 'pool', leastQueue);
  const calls = times(12, () => pool.call(hold('together')));
  assert.equal(
    pool.stats().replicas.map(({ unfinished }) => unfinished),
    [3, 3, 3, 3],
  );
  for (const pid of pool.pids()) {
    await noted(pid, 'start together');
    await release(pid, 'together');
  }
  await Promise.all(calls);
});

test('replicas and threads choose by the same numbers', async () => {
  await using supervisor = await gated({ replicas: 3 });
  await using _pool = await balance(supervisor, 'pool', leastQueue);
  await using thread = await Thread.start();
  const busy = busiest(supervisor);
  const { free } = await load(busy, 5);
  for (let i = 0; i < 20; i++) {
    assert.is.not((await thread.attempt('pid', 'pool')).value, busy);
    assert.is.not((await attempt(upPids(supervisor)[1] as number, 'pid', 'pool')).value, busy);
  }
  await free();
});

test('with maxQueueLength: ERR_OVERLOAD when nobody has room', async () => {
  await using supervisor = await gated({ replicas: 5 });
  await using pool = await balance(supervisor, 'pool', { ...leastQueue, maxQueueLength: 2 });
  const loads: Awaited<ReturnType<typeof load>>[] = [];
  for (const pid of upPids(supervisor).slice(1)) loads.push(await load(pid, 2));
  const last = busiest(supervisor);
  assert.equal(
    times(50, () => pool.pid()),
    times(50, () => last),
    'the one that has room is found, though only two are compared',
  );
  loads.push(await load(last, 2));
  throws(() => pool.pid(), 'ERR_OVERLOAD');
  await rejects(pool.call('more'), 'ERR_OVERLOAD');
  for (const { free } of loads) await free();
  assert.type(pool.pid(), 'number');
});

test.run();
