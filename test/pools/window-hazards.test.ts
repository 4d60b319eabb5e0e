/** Windows next to everything else that may happen at the same time. */

import { setImmediate as turn } from 'node:timers/promises';
import { applyWithin, type Balancer, balance, call, ping, type Supervisor } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { deferred, gated, hold, note, noted, pidAt, release, upPids, watch } from '../support/gate.js';
import { killed, rejects, throws, until } from '../support/helpers.js';

/** Ten pools over one supervisor. */
class Pools implements AsyncDisposable {
  readonly all: Balancer[];

  private constructor(all: Balancer[]) {
    this.all = all;
  }

  static async over(supervisor: Supervisor): Promise<Pools> {
    const names = Array.from({ length: 10 }, (_, i) => `pool ${i}`);
    return new Pools(await Promise.all(names.map((name) => balance(supervisor, name))));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((pool) => pool.close()));
  }
}

test('ten windows of one pool, opened at once, that throw, reject, hang and run: each settles, in order', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const thrown = new Error('thrown');
  const order: number[] = [];
  let open = 0;
  const within =
    <T>(i: number, fn: () => T) =>
    async (): Promise<Awaited<T>> => {
      order.push(i);
      assert.is(++open, 1, 'one at a time');
      try {
        throws(() => pool.pid(), 'ERR_PAUSED');
        await turn();
        return await fn();
      } finally {
        open--;
      }
    };
  const windows = Array.from({ length: 10 }, (_, i) => {
    if (i % 5 === 1)
      return pool.applyWithin(
        within(i, () => Promise.reject(thrown)),
        ping,
      );
    if (i % 5 === 2) {
      const never = (): Promise<never> => {
        order.push(i);
        return new Promise(() => {});
      };
      return pool.applyWithin(never, ping, { timeout: 1_000 + 300 * i });
    }
    return pool.applyWithin(
      within(i, () => i),
      i % 2 === 0 ? ping : 0,
    );
  });
  const outcomes = await Promise.allSettled(windows);
  assert.equal(
    outcomes.map((outcome) =>
      outcome.status === 'fulfilled' ? outcome.value : (outcome.reason.code ?? outcome.reason),
    ),
    [0, thrown, 'ERR_TIMEOUT', 3, 4, 5, thrown, 'ERR_TIMEOUT', 8, 9],
  );
  assert.equal(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.is(pool.stats().paused, false);
  assert.ok(pool.pids().includes(pool.pid()));
});

test('windows of ten pools over one supervisor are open at the same time, and each pool opens by itself', async () => {
  await using supervisor = await gated();
  await using over = await Pools.over(supervisor);
  const pools = over.all;
  const ends = pools.map(() => deferred());
  const all = deferred();
  let open = 0;
  const windows = pools.map((pool, i) =>
    pool.applyWithin(async () => {
      if (++open === pools.length) all.resolve();
      await ends[i]?.promise;
      return i;
    }, ping),
  );
  await all.promise; // one after another, the first would wait for ever
  for (const [i, pool] of pools.entries()) {
    for (const later of pools.slice(i)) throws(() => later.pid(), 'ERR_PAUSED');
    ends[i]?.resolve();
    assert.is(await windows[i], i);
    assert.ok(pool.pids().includes(pool.pid()));
  }
});

test('nested windows of ten pools: the innermost sees all paused, and all open again though it throws', async () => {
  await using supervisor = await gated();
  await using over = await Pools.over(supervisor);
  const pools = over.all;
  const thrown = new Error('from the innermost');
  const nest = (depth: number): Promise<unknown> => {
    const pool = pools[depth];
    if (pool !== undefined) return pool.applyWithin(() => nest(depth + 1), ping);
    for (const each of pools) throws(() => each.pid(), 'ERR_PAUSED');
    return Promise.reject(thrown);
  };
  assert.is(await nest(0).catch((error: unknown) => error), thrown);
  for (const pool of pools) assert.ok(pool.pids().includes(pool.pid()));
});

test('a reload inside a window replaces every replica, and does not reopen it', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const before = pool.pids();
  const window = pool.applyWithin(async () => {
    await supervisor.reload();
    assert.ok(upPids(supervisor).every((pid) => !before.includes(pid)));
    throws(() => pool.pid(), 'ERR_PAUSED');
    assert.is(pool.stats().paused, true);
    assert.not(state.settled);
  }, ping);
  const held = pool.call(note('held'), { timeout: 30_000 });
  const state = watch(held);
  await window;
  assert.ok(upPids(supervisor).includes((await held) as number));
  assert.ok(upPids(supervisor).includes(pool.pid()));
});

test('a window that opens during a reload and a resize waits for the replicas that leave, too', async () => {
  await using supervisor = await gated({ shutdown: 30_000 });
  await using pool = await balance(supervisor, 'pool');
  const old = pidAt(pool.pids(), 0);
  const held = rejects(call(old, hold('work'), { timeout: 30_000 }), 'ERR_REPLICA_DIED');
  await noted(old, 'start work');
  const reloaded = supervisor.reload();
  const resized = supervisor.resize(3);
  await until(() => !pool.pids().includes(old), 'the old replica to leave the rotation');
  const window = pool.applyWithin(() => 'ran', ping, { timeout: 30_000 });
  const state = watch(window);
  throws(() => pool.pid(), 'ERR_PAUSED');
  await turn();
  assert.not(state.settled);
  await Promise.all([killed(supervisor, old), held]);
  assert.is(await window, 'ran');
  await Promise.all([reloaded, resized]);
  assert.is(upPids(supervisor).length, 3);
});

test('a refresh inside a window, with a death during its ping, brings the successor into the closed pool', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const victim = pidAt(pool.pids(), 0);
  const held = rejects(call(victim, hold('work'), { timeout: 30_000 }), 'ERR_REPLICA_DIED');
  await noted(victim, 'start work');
  const asked: number[] = [];
  const window = pool.applyWithin(
    async () => {
      await pool.refresh();
      throws(() => pool.pid(), 'ERR_PAUSED');
      return pool.pids();
    },
    (pid) => {
      asked.push(pid);
      return ping(pid);
    },
  );
  throws(() => pool.pid(), 'ERR_PAUSED');
  await Promise.all([killed(supervisor, victim), held]);
  const within = await window;
  assert.ok(asked.includes(victim));
  assert.is(within.length, 2);
  assert.not(within.includes(victim));
  assert.ok(within.includes(pool.pid()));
});

test('the function of a window may close the supervisor, and a window that hangs does not keep it', async () => {
  const supervisor = await gated();
  const pool = await balance(supervisor, 'pool');
  const other = await balance(supervisor, 'other');
  const hanging = rejects(
    other.applyWithin(() => new Promise(() => {}), ping, { timeout: 1_000 }),
    'ERR_TIMEOUT',
  );
  await applyWithin('pool', () => supervisor.close(), ping, { timeout: 30_000 });
  await hanging;
  for (const each of [pool, other]) {
    throws(() => each.pid(), 'ERR_DISCONNECTED');
    assert.is(each.stats().paused, false);
    await each.close();
  }
});

test('a window ends by its deadline though the ping of a replica with endless work never ends', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const busy = pidAt(pool.pids(), 0);
  const held = call(busy, hold('work'), { timeout: 30_000 });
  await noted(busy, 'start work');
  await rejects(
    pool.applyWithin(() => assert.unreachable(), ping, { timeout: 50 }),
    {
      code: 'ERR_TIMEOUT',
      message: /window of pool 'pool' did not end within 50 ms: its wait was not over$/,
    },
  );
  assert.ok(pool.pids().includes(pool.pid()));
  await release(busy, 'work');
  await held;
  assert.is(await pool.applyWithin(() => 'ran', ping), 'ran');
});

test.run();
