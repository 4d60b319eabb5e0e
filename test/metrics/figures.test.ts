/** How figures are counted, folded and summed up: without a process. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { LongCount } from '#src/memory/counts.js';
import { HandOuts } from '#src/memory/hand-outs.js';
import { Utilization } from '#src/memory/utilization.js';
import { exitReason } from '#src/primary/metrics/exit-reason.js';
import { bounds, Latency } from '#src/primary/metrics/latency.js';
import { ReloadTimes } from '#src/primary/metrics/reload-times.js';
import { holders, type Place } from '#src/primary/metrics/replica-metrics.js';
import { residentMemory } from '#src/primary/metrics/resident-memory.js';
import { Tallies } from '#src/primary/metrics/tally.js';
import { WindowTimes } from '#src/primary/metrics/window-times.js';

/** The first bound whose cumulative count has it. */
function bucketOf(ms: number): number | undefined {
  const latency = new Latency();
  latency.record(ms);
  return latency.snapshot().buckets.find(({ count }) => count === 1)?.le;
}

test('latency: the bounds ascend, each at most half above the one before, in round decimals', () => {
  assert.is(bounds[0], 0.01);
  assert.is(bounds.at(-1), 100_000);
  for (const [i, bound] of bounds.entries()) {
    if (i === 0) continue;
    const before = bounds[i - 1] as number;
    assert.ok(bound > before && bound <= before * 1.5 + 1e-12, `${before}, ${bound}`);
    assert.ok(`${bound}`.replace(/[.0]/g, '').length <= 2, `${bound}`);
  }
});

test('latency: a call is in the first bucket whose bound it does not exceed', () => {
  for (const [i, bound] of bounds.entries()) {
    assert.is(bucketOf(bound), bound);
    assert.is(bucketOf(bound - 1e-6), bound);
    assert.is(bucketOf(bound + 1e-6), bounds[i + 1]);
  }
  for (const tiny of [0, 1e-9, -1e-7]) assert.is(bucketOf(tiny), 0.01);
});

test('latency: what is longer than every bound is only in the total', () => {
  const latency = new Latency();
  for (const ms of [0.02, 5, 100_001, 2 ** 31, Number.POSITIVE_INFINITY]) latency.record(ms);
  const { count, buckets } = latency.snapshot();
  assert.is(count, 5);
  assert.is(buckets.at(-1)?.count, 2);
});

test('latency: buckets are cumulative, and the sum is exact', () => {
  const latency = new Latency();
  for (let i = 1; i <= 1_000; i++) latency.record(i / 100);
  const { count, sum, buckets } = latency.snapshot();
  assert.is(count, 1_000);
  assert.ok(Math.abs(sum - 5_005) < 1e-6);
  for (const { le, count: below } of buckets)
    assert.is(below, Math.min(1_000, Math.floor(le * 100 + 1e-9)), `${le}`);
});

test('hand-outs: over generations and wraps, exactly', () => {
  const handOuts = new HandOuts(4_000_000_000, 7); // the ring was another pool's before, which had wrapped
  assert.is(handOuts.total(4_000_000_000, 7), 0);
  assert.is(handOuts.total(4_000_001_024, 7), 1_024);
  handOuts.published(4_000_001_024, 5);
  assert.is(handOuts.total(5, 7), 1_024);
  assert.is(handOuts.total(1_005, 7), 2_024);
  // A claim of 1,024 that wraps leaves the ticket at 3, and says that it has taken away the rest.
  const lost = 2 ** 32 - 500 + 1_024 - 3;
  handOuts.published(1_005, 2 ** 32 - 500);
  assert.is(handOuts.total(3, 7 + lost), 2_024 + 1_024);
  handOuts.published(3, 100);
  assert.is(handOuts.total(100, 7 + lost), 3_048);
});

test('hand-outs: a wrap that has not been said yet takes nothing away', () => {
  const handOuts = new HandOuts(2 ** 32 - 100, 0);
  assert.is(handOuts.total(2 ** 32 - 50, 0), 50);
  assert.is(handOuts.total(2, 0), 50);
  assert.is(handOuts.total(2, 2 ** 32 + 48), 150);
});

test('hand-outs: what others write into the ring makes them neither less nor no number, and they go on', () => {
  const handOuts = new HandOuts(1_000, 0);
  assert.is(handOuts.total(5_000, 0), 4_000);
  let last = 4_000;
  for (const [ticket, wrapped] of [
    [0, 0],
    [0, 0],
    [10, 0],
    [2 ** 32 - 1, 2 ** 64],
    [2 ** 32 - 1, 2 ** 64],
    [0, 0],
    [5, 0],
  ] as const) {
    const total = handOuts.total(ticket, wrapped);
    assert.ok(Number.isSafeInteger(total) && total >= last, `${total}`);
    last = total;
  }
  for (let i = 0; i < 2; i++) handOuts.total(100, 0);
  const before = handOuts.total(100, 0);
  assert.is(handOuts.total(164, 0), before + 64);
});

/** A process whose slot says `count` of everything, modulo 2^32. */
class Counted {
  readonly #long = new LongCount();
  count = 0;

  get totals() {
    const taken = this.#long.look(this.count | 0);
    return { taken, requests: 2 * taken, accepted: 3 * taken, busyTime: taken / 2 };
  }
}

test('tally: counters go on over exits, replacements and wraps', () => {
  const tallies = new Tallies();
  const first = new Counted();
  tallies.begin(0, first);
  for (let i = 0; i < 5; i++) {
    first.count += 2 ** 30;
    tallies.look();
  }
  assert.is(tallies.of(0).totals.taken, 5 * 2 ** 30);
  const successor = new Counted();
  tallies.begin(0, successor);
  successor.count = 7;
  assert.is(tallies.of(0).totals.taken, 5 * 2 ** 30 + 7, 'both have the number');
  tallies.end(first);
  tallies.end(first);
  assert.is(tallies.of(0).totals.taken, 5 * 2 ** 30 + 7);
  tallies.end(successor);
  assert.equal(tallies.of(0).totals, {
    taken: 5 * 2 ** 30 + 7,
    requests: 2 * (5 * 2 ** 30 + 7),
    accepted: 3 * (5 * 2 ** 30 + 7),
    busyTime: (5 * 2 ** 30 + 7) / 2,
  });
  assert.is(tallies.of(1).totals.taken, 0, 'of another number');
});

test('tally: restarts are counted by reason, and a snapshot does not change', () => {
  const tally = new Tallies().of(3);
  tally.restarted('crash');
  const { restarts } = tally;
  tally.restarted('crash');
  tally.restarted('reload');
  assert.is(restarts.crash, 1);
  assert.equal([tally.restarts.crash, tally.restarts.reload, tally.restarts.hung], [2, 1, 0]);
});

test('busy time: what is not waiting, never less than before and never more than has passed', () => {
  const s = (seconds: number): bigint => BigInt(seconds * 1e9);
  const utilization = new Utilization(0n, s(100));
  assert.is(utilization.busy(0n, s(101)), 1_000);
  assert.is(utilization.busy(s(1) - s(102), s(103)), 1_000, 'it waits since 102 s');
  assert.is(utilization.busy(s(2), s(104)), 2_000);
  for (const lie of [2n ** 63n - 1n, -(2n ** 63n), s(50)]) {
    const busy = utilization.busy(lie, s(105));
    assert.ok(busy >= 2_000 && busy <= 5_000, `${busy}`);
  }
});

test('windows and reloads: count, durations, and what is under way', () => {
  const windows = new WindowTimes();
  assert.equal(windows.snapshot(5), { count: 0, open: false, totalDuration: 0, lastDuration: undefined });
  windows.opened(10);
  assert.equal(windows.snapshot(25), { count: 1, open: true, totalDuration: 15, lastDuration: undefined });
  windows.closed(30);
  windows.opened(40);
  assert.equal(windows.snapshot(41), { count: 2, open: true, totalDuration: 21, lastDuration: 20 });
  windows.closed(45);
  assert.equal(windows.snapshot(99), { count: 2, open: false, totalDuration: 25, lastDuration: 5 });

  const reloads = new ReloadTimes();
  reloads.began(1);
  assert.equal(reloads.snapshot(), { succeeded: 0, failed: 0, running: true, lastDuration: undefined });
  reloads.ended(false, 4);
  reloads.began(10);
  reloads.ended(true, 12);
  assert.equal(reloads.snapshot(), { succeeded: 1, failed: 1, running: false, lastDuration: 2 });
});

test('the reason of an exit is that of whoever began it', () => {
  const none = { retired: undefined, wasAskedToLeave: false, hung: false, wasReady: true } as const;
  const exited = (code: number) => ({ code, signal: null, error: undefined });
  const killed = { code: null, signal: 'SIGKILL', error: undefined } as const;
  const threw = { code: 1, signal: null, error: new Error('thrown') };
  assert.is(exitReason(exited(0), none), 'exit');
  assert.is(exitReason(exited(3), none), 'crash');
  assert.is(exitReason(threw, none), 'crash');
  assert.is(exitReason({ ...killed, error: new Error('no message') }, none), 'crash');
  assert.is(exitReason(killed, none), 'signal');
  assert.is(exitReason(killed, { ...none, hung: true }), 'hung');
  assert.is(exitReason(threw, { ...none, wasReady: false }), 'startFailed');
  assert.is(exitReason(killed, { ...none, wasAskedToLeave: true }), 'requested');
  for (const retired of ['stopped', 'reload', 'recycle'] as const)
    assert.is(exitReason(threw, { ...none, retired, wasAskedToLeave: true }), retired);
});

test('a number is shown once: the old replica until the new one has its place', () => {
  const place = (id: number, incarnation: number, more: Partial<Place> = {}): Place => ({
    id,
    incarnation,
    state: 'up',
    lived: 1,
    replica: undefined,
    retired: false,
    isSuccessor: false,
    ...more,
  });
  const shown = (...places: Place[]) => holders(places).map(({ id, incarnation }) => [id, incarnation]);
  assert.equal(shown(place(2, 1), place(0, 1), place(1, 4)), [
    [0, 1],
    [1, 4],
    [2, 1],
  ]);
  assert.equal(shown(place(0, 1), place(0, 2, { isSuccessor: true })), [[0, 1]]);
  assert.equal(shown(place(0, 1, { retired: true }), place(0, 2)), [[0, 2]]);
  assert.equal(shown(place(0, 2), place(0, 1, { retired: true })), [[0, 2]]);
  assert.equal(shown(place(0, 1), place(0, 2, { isSuccessor: true, retired: true })), [[0, 1]]);
  assert.equal(shown(place(0, 3, { retired: true })), [[0, 3]]);
});

test('resident memory: of a process that there is, and of none', () => {
  const bytes = residentMemory(process.pid);
  if (process.platform === 'linux') {
    const own = process.memoryUsage.rss();
    assert.ok(bytes !== undefined && Math.abs(bytes - own) < own / 4, `${bytes}, ${own}`);
  } else assert.is(bytes, undefined);
  assert.is(residentMemory(2 ** 30), undefined);
});

test.run();
