/** When a pool takes new replicas in: below its ratio, by hand, after a resize, and when it is empty. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { type Balancer, balance, refresh, type Supervisor, supervise, type UpEvent } from 'ballermann';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isBelowRatio } from '#src/primary/pools/ratio.js';
import { downOf, fixture, killed, next, rejects, start, tally, times, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

/** Kills the replica and waits for its replacement to be up. @returns the new pid. */
async function replaced(supervisor: Supervisor, victim: number): Promise<number> {
  const up = next<[UpEvent]>(supervisor, 'up');
  await killed(supervisor, victim);
  const [{ pid }] = await up;
  await turn(); // whatever follows from it has begun
  return pid;
}

function isEven(pool: Balancer, pids: readonly number[]): void {
  const counts = tally(times(30 * pids.length, () => pool.pid()));
  assert.equal([...counts.keys()].sort(), [...pids].sort());
  assert.equal([...new Set(counts.values())], [30]);
}

test('0.8 of ten: two deaths leave eight, and a third brings every replacement in', async () => {
  await using supervisor = await start({ replicas: 10, intensity: 100 });
  const pool = await balance(supervisor, 'ten'); // 0.8
  const all = pool.pids();
  assert.is(all.length, 10);
  await turn(); // the events of its first refresh are over
  const refreshes: (readonly number[])[] = [];
  pool.on('refresh', ({ pids }) => refreshes.push(pids));

  const [first, second, third, ...others] = all as [number, number, number, ...number[]];
  const one = await replaced(supervisor, first);
  assert.equal(pool.pids(), [second, third, ...others]);
  isEven(pool, [second, third, ...others]);

  const two = await replaced(supervisor, second);
  assert.equal(pool.pids(), [third, ...others], '8/10 is not below 0.8');
  isEven(pool, [third, ...others]);
  assert.equal(refreshes, []);
  assert.equal([pool.stats().alive, pool.stats().original], [8, 10]);

  const three = await replaced(supervisor, third);
  await until(() => refreshes.length > 0, 'the refresh');
  const now = [...others, one, two, three].sort();
  assert.equal([...(refreshes[0] as number[])].sort(), now);
  assert.equal(pool.pids().sort(), now);
  isEven(pool, now);
  assert.equal([pool.stats().alive, pool.stats().original], [10, 10]);
  assert.is(refreshes.length, 1);
});

test('the ratio as third argument, 0.9 of ten: the second death refreshes', async () => {
  await using supervisor = await start({ replicas: 10, intensity: 100 });
  const pool = await balance(supervisor, 'nine', 0.9);
  const [first, second, ...others] = pool.pids() as [number, number, ...number[]];
  const one = await replaced(supervisor, first);
  assert.equal(pool.pids(), [second, ...others], '9/10 is not below 0.9');
  const two = await replaced(supervisor, second);
  await until(() => pool.stats().alive === 10, 'the refresh');
  isEven(pool, [...others, one, two]);
});

test('each pool over a supervisor has its own ratio; 1 refreshes at the first death', async () => {
  await using supervisor = await start({ replicas: 4, intensity: 100 });
  const all = await balance(supervisor, 'all', 1);
  const half = await balance(supervisor, 'half', { minAliveRatio: 0.5 });
  const [first, ...others] = all.pids() as [number, ...number[]];
  const one = await replaced(supervisor, first);
  await until(() => all.pids().includes(one), 'the replacement is in');
  isEven(all, [...others, one]);
  isEven(half, others);
});

test('original is the number at the last completed refresh', async () => {
  await using supervisor = await start({ replicas: 4, intensity: 100 });
  const pool = await balance(supervisor, 'original', 0.5);
  await supervisor.resize(2);
  await until(() => pool.stats().original === 2, 'the pool has followed');
  const [first, second] = pool.pids() as [number, number];
  const one = await replaced(supervisor, first);
  assert.equal(pool.pids(), [second], '1/2 is not below 0.5, though 1/4 is');
  const two = await replaced(supervisor, second);
  await until(() => pool.stats().alive === 2, 'the refresh');
  isEven(pool, [one, two]);
});

test('refresh() takes in what is there, by hand', async () => {
  await using supervisor = await start({ replicas: 3, intensity: 100 });
  const pool = await balance(supervisor, 'hand', 0.1);
  const [first, ...others] = pool.pids() as [number, ...number[]];
  const one = await replaced(supervisor, first);
  assert.equal(pool.pids(), others);
  await pool.refresh();
  isEven(pool, [...others, one]);
  const two = await replaced(supervisor, one);
  await refresh('hand');
  isEven(pool, [...others, two]);
  const before = pool.pids();
  await refresh('hand');
  assert.equal(pool.pids(), before, 'nothing to take in: nothing moves');
});

test('resize: new replicas are taken in, those that go are not handed out any more', async () => {
  await using supervisor = await start({ replicas: 2 });
  const pool = await balance(supervisor, 'resized');
  const before = pool.pids();
  await supervisor.resize(5);
  await until(() => pool.stats().original === 5, 'the pool has followed');
  assert.equal(pool.pids().slice(0, 2), before);
  isEven(
    pool,
    supervisor.children().map(({ pid }) => pid as number),
  );
  await supervisor.resize(1);
  assert.equal(
    pool.pids(),
    supervisor.children().map(({ pid }) => pid as number),
  );
  isEven(pool, pool.pids());
  await until(() => pool.stats().original === 1, 'the pool has followed');
});

test('resize down keeps the lowest numbers: one that is just being restarted is waited for, and the pool is never empty', async () => {
  await using supervisor = await start({ replicas: 2 });
  const pool = await balance(supervisor, 'kept');
  const [first] = pool.pids() as [number];
  let disconnected = false;
  pool.on('disconnect', () => {
    disconnected = true;
  });
  await killed(supervisor, first);
  await supervisor.resize(1);
  const [left, ...others] = supervisor.children();
  assert.is(left?.id, 0);
  assert.not(left?.pid === first);
  assert.equal(others, []);
  await until(() => pool.pids()[0] === left?.pid, 'the pool has it');
  assert.not(disconnected);
});

/** A supervisor whose replicas start when the gate says so. */
async function gated(replicas: number) {
  const folder = mkdtempSync(join(tmpdir(), 'ballermann-test-'));
  const file = join(folder, 'gate');
  const gate = (word: 'open' | 'wait' | 'fail', index?: number) =>
    writeFileSync(index === undefined ? file : `${file}-${index}`, word);
  gate('open');
  const supervisor = await supervise({
    exec: fixture('rotation/late.mjs'),
    args: [file],
    replicas,
    intensity: 1_000,
    backoff: { initial: 20, max: 20 },
  });
  return {
    gate,
    supervisor,
    async [Symbol.asyncDispose]() {
      await supervisor.close();
      rmSync(folder, { recursive: true });
    },
  };
}

function starting(supervisor: Supervisor): Promise<unknown> {
  return until(
    () => supervisor.children().some(({ state, pid }) => state === 'starting' && pid !== undefined),
    'a replica is starting',
  );
}

test('resize down keeps the one that is up where a lower number does not get ready', async () => {
  await using cluster = await gated(2);
  const { supervisor, gate } = cluster;
  const pool = await balance(supervisor, 'kept');
  const [first, second] = pool.pids() as [number, number];
  gate('fail');
  await killed(supervisor, first);
  await supervisor.resize(1);
  assert.equal(
    supervisor.children().map(({ id, pid }) => ({ id, pid })),
    [{ id: 1, pid: second }],
  );
  assert.equal(pool.pids(), [second]);
});

test('a resize to more that fails keeps as many as before: a new one that is up where an older one does not get ready', async () => {
  await using cluster = await gated(1);
  const { supervisor, gate } = cluster;
  const pool = await balance(supervisor, 'grown');
  const [first] = pool.pids() as [number];
  gate('wait', 2);
  const up = next<[UpEvent]>(supervisor, 'up');
  const resized = rejects(supervisor.resize(3), 'ERR_START_FAILED');
  const [{ pid: second }] = await up;
  gate('fail', 0);
  await killed(supervisor, first);
  await until(() => pool.pids()[0] === second, 'the pool has the only one that is up');
  let disconnected = false;
  pool.on('disconnect', () => {
    disconnected = true;
  });
  gate('fail', 2);
  await resized;
  assert.equal(
    supervisor.children().map(({ id, pid }) => ({ id, pid })),
    [{ id: 1, pid: second }],
  );
  assert.equal(pool.pids(), [second]);
  assert.is(await pool.call(1), 1);
  assert.not(disconnected);
});

test('a resize to more that fails waits for an older one that is just being restarted, and stops all new ones', async () => {
  await using cluster = await gated(2);
  const { supervisor, gate } = cluster;
  const pool = await balance(supervisor, 'grown', 0.1);
  const [first, second] = pool.pids() as [number, number];
  gate('wait', 3);
  const up = next<[UpEvent]>(supervisor, 'up');
  const resized = rejects(supervisor.resize(4), 'ERR_START_FAILED');
  await up;
  gate('wait', 0);
  await killed(supervisor, first);
  gate('fail', 3);
  await until(() => supervisor.children().length === 3, 'the failed one is gone');
  gate('open', 0);
  await resized;
  const states = supervisor.children().map(({ id, state }) => `${id} ${state}`);
  assert.equal(states, ['0 up', '1 up']);
  assert.is(supervisor.children()[1]?.pid, second);
});

test('a refresh is complete when the replicas that were being started are up', async () => {
  await using cluster = await gated(3);
  const { supervisor, gate } = cluster;
  const pool = await balance(supervisor, 'starting', 0.1);
  const [first, ...others] = pool.pids() as [number, ...number[]];
  gate('wait');
  await killed(supervisor, first);
  await starting(supervisor);
  let isComplete = false;
  const refreshed = pool.refresh().finally(() => {
    isComplete = true;
  });
  refreshed.catch(() => {}); // where this test fails before it looks
  // The pool is at work meanwhile: as many turns as the hand-outs take are as good as any other wait.
  for (let i = 0; i < 50; i++) {
    assert.ok(others.includes(pool.pid()));
    assert.is(await pool.call(i), i);
  }
  assert.not.ok(isComplete);
  assert.equal([pool.stats().alive, pool.stats().original], [2, 3]);

  gate('open');
  await refreshed;
  assert.equal([pool.stats().alive, pool.stats().original], [3, 3]);
  isEven(
    pool,
    supervisor.children().map(({ pid }) => pid as number),
  );
});

test('a refresh is complete without a replica that failed to start; it is taken in when it comes up', async () => {
  await using cluster = await gated(3);
  const { supervisor, gate } = cluster;
  const pool = await balance(supervisor, 'failing', 1);
  const [first, ...others] = pool.pids() as [number, ...number[]];
  await turn(); // the events of its first refresh are over
  gate('fail');
  const refreshed = next<[{ pids: readonly number[] }]>(pool, 'refresh');
  await killed(supervisor, first);
  const [{ pids }] = await refreshed;
  assert.equal(pids, others);
  assert.is(pool.stats().original, 2);
  isEven(pool, others);

  gate('open');
  await until(() => pool.stats().original === 3, 'the late one is in rotation');
  assert.equal(pool.pids().slice(0, 2), others);
});

test('during a refresh those that come up are taken in at once, whoever else is still to come', async () => {
  using folder = new Folder();
  // Of those that start when the token is there, one takes it, and is slow.
  const exec = folder.script(
    'slow.mjs',
    `
    import { handle } from ${JSON.stringify(import.meta.resolve('ballermann/replica'))};
    import { existsSync, rmdirSync } from 'node:fs';
    import { setTimeout as sleep } from 'node:timers/promises';
    let isSlow = true;
    try { rmdirSync(${JSON.stringify(folder.at('token'))}) } catch { isSlow = false }
    while (isSlow && !existsSync(${JSON.stringify(folder.at('gate'))})) await sleep(5);
    handle(() => process.pid);
    `,
  );
  await using supervisor = await supervise({ exec, replicas: 2 });
  const pool = await balance(supervisor, 'while others wait', 0.1);
  const [first, second] = pool.pids() as [number, number];
  mkdirSync(folder.at('token'));
  await killed(supervisor, first);
  await until(() => !folder.has('token'), 'the slow one');
  let isComplete = false;
  const refreshed = pool.refresh().finally(() => {
    isComplete = true;
  });
  const back = await replaced(supervisor, second);
  assert.equal(pool.pids(), [back]);
  assert.not.ok(isComplete);
  folder.open('gate');
  await refreshed;
  assert.is(pool.pids().length, 2);
});

test('a refresh does not wait for a restart that has been put off, and takes that replica in when it comes', async () => {
  await using supervisor = await start({ backoff: { initial: 600, max: 600 } });
  const pool = await balance(supervisor, 'without one', 0.1);
  const [first, second] = pool.pids() as [number, number];
  await killed(supervisor, await replaced(supervisor, first)); // the first restart was at once, the next one is not
  await pool.refresh();
  assert.equal(pool.pids(), [second]);
  await until(() => pool.pids().length === 2, 'the other one');
  await until(() => pool.stats().original === 2, 'the end of another refresh');
});

test('deaths during a refresh count as well', async () => {
  await using cluster = await gated(4);
  const { supervisor, gate } = cluster;
  const pool = await balance(supervisor, 'during', 0.8);
  const [first, second, ...others] = pool.pids() as [number, number, ...number[]];
  gate('wait');
  await killed(supervisor, first); // 3/4: a refresh begins and waits for the replacement
  const down = downOf(supervisor, second);
  process.kill(second, 'SIGKILL');
  await down;
  assert.equal(pool.pids(), others);
  isEven(pool, others);
  gate('open');
  await until(() => pool.stats().original === 4 && pool.stats().alive === 4, 'four are in rotation again');
  isEven(
    pool,
    supervisor.children().map(({ pid }) => pid as number),
  );
});

test('a refresh never opens a paused pool', async () => {
  await using supervisor = await start({ replicas: 3, intensity: 100 });
  const pool = await balance(supervisor, 'paused', 1);
  await pool.applyWithin(async () => {
    const one = await replaced(supervisor, pool.pids()[0] as number);
    await pool.refresh();
    assert.ok(pool.pids().includes(one));
    assert.throws(() => pool.pid(), /paused/);
  });
  isEven(pool, pool.pids());
});

test('isBelowRatio is alive / original < ratio, exactly, for every ratio with up to four decimals', () => {
  fc.assert(
    fc.property(
      fc
        .integer({ min: 1, max: 1024 })
        .chain((original) => fc.tuple(fc.nat(original), fc.constant(original))),
      fc.integer({ min: 1, max: 10_000 }),
      ([alive, original], tenThousandths) => {
        const exact = alive * 10_000 < original * tenThousandths;
        assert.is(isBelowRatio(alive, original, tenThousandths / 10_000), exact);
      },
    ),
    { numRuns: 5_000 },
  );
});

test('isBelowRatio does not stumble over binary fractions', () => {
  // Every case in which alive / original is the ratio as it is written.
  for (let original = 1; original <= 200; original++) {
    for (let percent = 1; percent <= 100; percent++) {
      if ((original * percent) % 100 !== 0) continue;
      const alive = (original * percent) / 100;
      assert.not.ok(isBelowRatio(alive, original, percent / 100), `${alive} of ${original}`);
      assert.ok(isBelowRatio(alive - 1, original, percent / 100), `${alive - 1} of ${original}`);
      assert.not.ok(isBelowRatio(alive, original, alive / original));
    }
  }
  assert.not.ok(isBelowRatio(0, 0, 1), 'a pool that never had a replica has lost none');
});

test.run();
