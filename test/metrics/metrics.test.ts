/** metrics() of supervisors with real replicas: what is done to them moves these figures, and no others go down. */

import {
  type Balancer,
  balance,
  call,
  type ReplicaMetrics,
  type Supervisor,
  type SupervisorMetrics,
  type SupervisorOptions,
} from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { replicaOf } from '#src/primary/replicas/registry.js';
import { ownSegment } from '#src/primary/replicas/slots.js';
import { deferred, pidAt } from '../support/gate.js';
import { downOf, fixture, killed, next, rejects, start, until } from '../support/helpers.js';
import { Looks } from '../support/looks.js';

const exec = fixture('metrics/replica.mjs');
const echo = { op: 'echo', value: 1 };

function live(options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  return start({ exec, log: false, ...options });
}

function replicaAt({ replicas }: SupervisorMetrics, index: number): ReplicaMetrics {
  return replicas[index] as ReplicaMetrics;
}

function poolOf(metrics: SupervisorMetrics) {
  return metrics.pools[0] as SupervisorMetrics['pools'][number];
}

async function served(port: number, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const response = await fetch(`http://127.0.0.1:${port}`, { headers: { connection: 'close' } });
    await response.text();
  }
}

function sumOf(metrics: SupervisorMetrics, field: 'taken' | 'requests' | 'accepted'): number {
  return metrics.replicas.reduce((sum, replica) => sum + replica[field], 0);
}

test('what is done to replicas and pools moves their figures', async () => {
  await using supervisor = await live({ name: 'figures' });
  const looks = new Looks(supervisor);
  await using pool = await balance(supervisor, 'figures');
  const fresh = looks.look();
  assert.is(fresh.name, 'figures');
  assert.is(fresh.state, 'running');
  assert.equal(
    fresh.replicas.map(({ index, state, incarnation, lastExit }) => [index, state, incarnation, lastExit]),
    [
      [0, 'up', 1, undefined],
      [1, 'up', 1, undefined],
    ],
  );
  assert.equal(
    fresh.replicas.map(({ pid }) => pid),
    supervisor.children().map(({ pid }) => pid),
  );
  for (const { rss = 0, uptime, eventLoopUtilization } of fresh.replicas) {
    assert.ok(rss > 10 * 2 ** 20 && rss < 2 ** 30, `${rss}`);
    assert.ok(uptime > 0 && uptime <= fresh.uptime, `${uptime}, ${fresh.uptime}`);
    assert.ok(eventLoopUtilization >= 0 && eventLoopUtilization <= 1);
  }
  assert.equal(JSON.parse(JSON.stringify(fresh)).pools, fresh.pools.map(withoutUndefined), 'fits JSON');

  // Calls: those of the primary, those of replicas, and those that fail.
  for (let i = 0; i < 100; i++) await pool.call(echo);
  const [first, second] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  for (let i = 0; i < 10; i++) assert.is(await call(first, { op: 'relay', pool: pool.name, value: i }), i);
  for (let i = 0; i < 5; i++) await rejects(pool.call({ op: 'fail' }), 'ERR_REMOTE');
  const called = looks.look();
  assert.is(poolOf(called).sent, 115);
  assert.is(poolOf(called).latency.count, 110, 'calls to a pid, and those that failed, are not in it');
  assert.is(poolOf(called).latency.buckets.at(-1)?.count, 110);
  assert.is(sumOf(called, 'taken'), 125);
  assert.ok(poolOf(called).latency.sum > 0);

  // Time: a handler that takes 200 ms is in the histogram, in the busy time, and in the utilization of its replica alone.
  await pool.call({ op: 'spin', ms: 200 });
  const busy = looks.look();
  const gained = busy.replicas.map(({ busyTime, index }) => busyTime - replicaAt(called, index).busyTime);
  assert.ok(Math.max(...gained) >= 200 && Math.min(...gained) < 200, `${gained}`);
  assert.ok(poolOf(busy).latency.sum - poolOf(called).latency.sum >= 200);
  const below = (metrics: SupervisorMetrics) =>
    poolOf(metrics).latency.buckets.find(({ le }) => le === 150)?.count;
  assert.is(below(busy), below(called), 'not within 150 ms');

  // Requests and connections.
  const port = await call<number>(first, { op: 'port' });
  await served(port, 20);
  const web = looks.look();
  assert.is(sumOf(web, 'requests'), 20);
  assert.is(sumOf(web, 'accepted'), 20);

  // Hand-outs of all processes: callers take them by the block.
  await call(second, { op: 'pids', pool: pool.name, count: 5_000 });
  const handed = poolOf(looks.look()).handOuts - poolOf(web).handOuts;
  assert.ok(handed >= 4_900 && handed <= 5_000 + 2 * 1_024, `${handed}`);

  // A window.
  await pool.applyWithin(async () => {
    const inside = poolOf(looks.look());
    assert.ok(inside.paused && inside.windows.open);
    await until(() => poolOf(looks.look()).windows.totalDuration >= 30, 'time');
  });
  await pool.applyWithin(() => {}, 0);
  const { windows } = poolOf(looks.look());
  assert.is(windows.count, 2);
  assert.is(windows.open, false);
  assert.ok(windows.totalDuration >= 30 && (windows.lastDuration as number) < 30, JSON.stringify(windows));

  // A kill: the counters of its number go on, and say why it went.
  const before = looks.look();
  const index = supervisor.children().find(({ pid }) => pid === first)?.id as number;
  for (let i = 0; i < 3; i++) await call(first, echo); // what nobody looks at before the end counts, too
  const at = Date.now();
  const up = next(supervisor, 'up');
  await killed(supervisor, first);
  assert.is(replicaAt(looks.look(), index).uptime, 0);
  await up;
  const restarted = replicaAt(looks.look(), index);
  const { restarts, lastExit } = restarted;
  assert.is(restarts.signal, 1);
  assert.is(
    Object.values(restarts).reduce((a, b) => a + b),
    1,
  );
  assert.equal([lastExit?.code, lastExit?.signal, lastExit?.reason], [null, 'SIGKILL', 'signal']);
  assert.ok((lastExit?.at as number) >= at && (lastExit?.at as number) <= Date.now());
  assert.is(restarted.incarnation, 2);
  assert.is(restarted.taken, replicaAt(before, index).taken + 3);
  assert.is(restarted.requests, replicaAt(before, index).requests);
  await call(restarted.pid as number, echo);
  assert.is(replicaAt(looks.look(), index).taken, restarted.taken + 1);

  // A reload, seen from inside: each number is shown once.
  const running = new Set<boolean>();
  supervisor.on('up', () => {
    const metrics = looks.look();
    running.add(metrics.reloads.running);
    assert.equal(
      metrics.replicas.map((replica) => replica.index),
      [0, 1],
    );
  });
  await supervisor.reload();
  const reloaded = looks.look();
  assert.equal([...running], [true]);
  assert.equal(
    [reloaded.reloads.succeeded, reloaded.reloads.failed, reloaded.reloads.running],
    [1, 0, false],
  );
  assert.ok((reloaded.reloads.lastDuration as number) > 0);
  for (const replica of reloaded.replicas) {
    assert.is(replica.restarts.reload, 1);
    assert.is(replica.lastExit?.reason, 'reload');
  }
  assert.is(sumOf(reloaded, 'taken'), sumOf(looks.look(), 'taken'));

  // A reload that fails leaves them as they are.
  await rejects(
    supervisor.reload({ exec: fixture('reload/replica.mjs'), env: { BREAKS: 'exits', FROM: '-1' } }),
    'ERR_START_FAILED',
  );
  const failed = looks.look();
  assert.equal([failed.reloads.succeeded, failed.reloads.failed], [1, 1]);
  assert.is(
    failed.replicas.reduce((sum, replica) => sum + replica.restarts.reload, 0),
    2,
  );
  assert.is(replicaAt(failed, 0).lastExit?.reason, 'startFailed');

  // A number that is taken away and brought back goes on.
  await supervisor.resize(1);
  assert.is(looks.look().replicas.length, 1);
  await supervisor.resize(2);
  const again = replicaAt(looks.look(), 1);
  assert.is(again.taken, replicaAt(failed, 1).taken);
  assert.is(again.lastExit?.reason, 'stopped');
  assert.is(again.restarts.reload, 1);
});

function withoutUndefined(value: object): object {
  return JSON.parse(JSON.stringify(value));
}

test('restarts are counted by reason', async () => {
  await using supervisor = await live({ hangTimeout: 300, blockedAfter: 100, maxRequests: 100_000 });
  const looks = new Looks(supervisor);
  const reasons: unknown[] = [];
  supervisor.on('down', ({ id }) => reasons.push(replicaAt(looks.look(), id).lastExit?.reason));
  const ended = async (way: (pid: number) => unknown): Promise<void> => {
    await until(() => supervisor.children().every(({ state }) => state === 'up'), 'both replicas');
    const { pid = 0 } = supervisor.children()[0] ?? {};
    const down = downOf(supervisor, pid);
    way(pid);
    await down;
  };
  const asked = (message: object) => ended((pid) => void call(pid, message).catch(() => {}));
  await asked({ op: 'crash' });
  await asked({ op: 'exit', code: 0 });
  await asked({ op: 'exit', code: 4 });
  await asked({ op: 'spin', ms: 60_000 });
  await ended((pid) => process.kill(pid, 'SIGTERM'));
  assert.equal(reasons, ['crash', 'exit', 'crash', 'hung', 'requested']);
  const sums: Record<string, number> = {};
  for (const { restarts } of looks.look().replicas)
    for (const [reason, count] of Object.entries(restarts)) sums[reason] = (sums[reason] ?? 0) + count;
  assert.equal(sums, {
    crash: 2,
    exit: 1,
    signal: 0,
    hung: 1,
    startFailed: 0,
    recycle: 0,
    reload: 0,
    requested: 1,
  });
});

test('recycled replicas are restarts of their own reason; a closed supervisor still answers', async () => {
  const supervisor = await live({ replicas: 1, maxRequests: 20 });
  const looks = new Looks(supervisor);
  const pool = await balance(supervisor, 'recycled');
  for (let i = 0; i < 20; i++) await pool.call(echo);
  await until(() => replicaAt(looks.look(), 0).restarts.recycle === 1, 'the recycling');
  await until(() => replicaAt(looks.look(), 0).lastExit?.reason === 'recycle', 'the end of the old one');
  assert.is(replicaAt(looks.look(), 0).taken, 20);
  const closing = supervisor.close();
  assert.is(supervisor.metrics().state, 'closing');
  await closing;
  const { state, replicas, pools } = looks.look();
  assert.equal([state, replicas], ['closed', []]);
  assert.is(pools.length, 1);
  await pool.close();
  assert.is(looks.look().pools.length, 0);
});

test('a supervisor that gives up has failed', async () => {
  const supervisor = await live({ replicas: 1, intensity: 0 });
  supervisor.on('gaveUp', () => {});
  const closed = next(supervisor, 'close');
  await killed(supervisor, supervisor.children()[0]?.pid as number);
  assert.is(supervisor.metrics().state, 'failed');
  await closed;
  assert.is(supervisor.metrics().state, 'failed');
});

/** Both look as often as they like, and each sees its replica busy for a half of the time. */
test('readers do not disturb each other', async () => {
  await using supervisor = await live({ replicas: 1 });
  await using pool = await balance(supervisor, 'readers');
  const end = performance.now() + 2_500;
  let calls = 0;
  const often: number[] = [];
  const seldom: number[] = [];
  let nextSeldom = performance.now() + 1_200;
  const frequent = setInterval(() => often.push(utilizationOf(supervisor)), 7);
  while (performance.now() < end) {
    await pool.call({ op: 'spin', ms: 20 });
    calls++;
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (performance.now() < nextSeldom) continue;
    nextSeldom += 600;
    seldom.push(utilizationOf(supervisor));
  }
  clearInterval(frequent);
  const { busyTime } = replicaAt(supervisor.metrics(), 0);
  assert.ok(busyTime >= calls * 20 && busyTime <= calls * 20 + 1_500, `${busyTime} ms for ${calls} calls`);
  for (const seen of [...seldom, ...often.slice(-100)]) assert.ok(seen > 0.2 && seen < 0.85, `${seen}`);
  assert.ok(seldom.length >= 2);
});

function utilizationOf(supervisor: Supervisor): number {
  return replicaAt(supervisor.metrics(), 0).eventLoopUtilization;
}

test('a hung replica, and one that lies in its slot, break nothing', async () => {
  await using supervisor = await live();
  const looks = new Looks(supervisor);
  await using pool = await balance(supervisor, 'lies');
  const [liar, hung] = pool.pids() as [number, number];
  const hanging = call(hung, { op: 'spin', ms: 1_000 });
  await until(() => replicaAt(looks.look(), indexOf(supervisor, hung)).unfinished === 1, 'the call');
  const { segment } = ownSegment();
  const { layout } = segment.addon;
  const { slot } = replicaOf(liar);
  for (const value of [-1, 0, 2 ** 31 - 1, -(2 ** 31), 0x5555_5555]) {
    const fields = ['slotTaken', 'slotBegun', 'slotAccepted', 'slotRequests', 'slotRss'] as const;
    for (const field of fields) segment.words[segment.slotWord(slot, layout[field])] = value;
    for (const field of ['slotLoopIdle', 'slotLoopClock'] as const)
      segment.longs[segment.slotWord(slot, layout[field]) / 2] = BigInt(value) << 31n;
    for (const replica of looks.look().replicas) {
      const { eventLoopUtilization, rss = 0, running, unfinished } = replica;
      assert.ok(eventLoopUtilization >= 0 && eventLoopUtilization <= 1, `${eventLoopUtilization}`);
      assert.ok(rss > 2 ** 20 && rss < 2 ** 31, `${rss}`);
      assert.ok(running >= 0 && running < 2 ** 32 && unfinished >= 0);
    }
  }
  await hanging;
  await killed(supervisor, liar);
  looks.look();
});

function indexOf(supervisor: Supervisor, pid: number): number {
  return supervisor.children().find((child) => child.pid === pid)?.id as number;
}

test('what a window holds back is shown, and a call that was held is measured from its beginning', async () => {
  await using supervisor = await live({ replicas: 1 });
  await using pool: Balancer = await balance(supervisor, 'held');
  const gate = deferred();
  const window = pool.applyWithin(() => gate.promise);
  const call = pool.call(echo);
  const called = performance.now();
  pool.cast(echo);
  const isLater = (): boolean => performance.now() - called >= 50;
  await until(() => isLater() && poolOf(supervisor.metrics()).windows.totalDuration >= 50, 'time');
  assert.is(poolOf(supervisor.metrics()).held, 2);
  const heldFor = performance.now() - called;
  gate.resolve();
  await Promise.all([window, call]);
  const { held, latency } = poolOf(supervisor.metrics());
  assert.is(held, 0);
  assert.is(latency.count, 1, 'a cast has no reply');
  assert.ok(latency.sum >= heldFor, `${latency.sum} ms, held for ${heldFor}`);
});

test.run();
