/** Replicas that have served enough are replaced: one at a time, and without a gap. */

import {
  type Balancer,
  type BallermannError,
  balance,
  type DownEvent,
  type RecycleEvent,
  type Supervisor,
  type SupervisorOptions,
  supervise,
} from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Segment } from '#src/memory/segment.js';
import { replicaOf } from '#src/primary/replicas/registry.js';
import { fixture, next, rejects, until } from '../support/helpers.js';
import { Folder, isAlive } from '../support/processes.js';

const exec = fixture('reload/replica.mjs');

/** No restart may happen: each would be one too many. */
function live(options: Partial<SupervisorOptions>): Promise<Supervisor> {
  return supervise({ exec, replicas: 2, intensity: 0, ...options });
}

/** What is told of recycled replicas, and whether there ever were fewer, or two at once, meanwhile. */
function watch(supervisor: Supervisor, pool: Balancer) {
  const seen = { events: [] as RecycleEvent[], sizes: new Set<number>(), most: 0 };
  const look = (): void => {
    seen.sizes.add(pool.pids().length);
    seen.most = Math.max(seen.most, supervisor.children().length);
  };
  supervisor.on('recycle', (event) => seen.events.push(event));
  for (const name of ['up', 'down', 'recycle'] as const) supervisor.on(name, look);
  return seen;
}

test('maxRequests: replaced when it has taken so many, less up to a tenth; no call fails', async () => {
  await using supervisor = await live({ maxRequests: 200 });
  await using pool = await balance(supervisor, 'requests');
  const before = pool.pids();
  const seen = watch(supervisor, pool);
  const downs: DownEvent[] = [];
  supervisor.on('down', (down) => downs.push(down));
  for (let i = 0; i < 150; i++) await pool.call({});
  for (let i = 0; i < 150; i++) pool.cast({}); // 150 each by now
  let called = 0;
  await until(async () => {
    await pool.call({});
    called++;
    return before.every((pid) => downs.some((down) => down.pid === pid));
  }, 'both to be replaced');
  assert.ok(called > 0);
  assert.equal([...seen.sizes], [2]);
  assert.ok(seen.most <= 3, 'one at a time');
  for (const pid of before) {
    const event = seen.events.find((event) => event.pid === pid);
    assert.is(event?.reason, 'maxRequests');
    assert.is(event?.incarnation, 1);
    assert.ok((event?.value as number) >= 180, `not before ${event?.value}`);
  }
  for (const { code, signal, restart } of downs.filter(({ pid }) => before.includes(pid)))
    assert.equal({ code, signal, restart }, { code: 0, signal: null, restart: false });
  assert.is(pool.stats().redirected, 0);
});

test('maxRequests counts the requests of servers too', async () => {
  await using supervisor = await live({ maxRequests: 1_000 });
  const [, { pid }] = supervisor.children() as [unknown, { pid: number }];
  const segment = Segment.require();
  // What a replica's servers write there.
  segment.words[segment.slotWord(replicaOf(pid).slot, segment.addon.layout.slotBegun)] = 1_000;
  const [event] = await next<[RecycleEvent]>(supervisor, 'recycle');
  assert.equal(event, { id: 1, pid, incarnation: 1, reason: 'maxRequests', value: 1_000 });
});

test('maxAge: replaced at that age, less up to a tenth, again and again', async () => {
  await using supervisor = await live({ maxAge: 1_200 });
  await using pool = await balance(supervisor, 'age');
  const seen = watch(supervisor, pool);
  await until(() => seen.events.length >= 4, 'four replacements', 20_000);
  for (const { reason, value } of seen.events) {
    assert.is(reason, 'maxAge');
    assert.ok(value >= 1_080, `not before ${value}`);
  }
  assert.equal([...seen.sizes], [2]);
  assert.ok(seen.most <= 3, 'one at a time');
});

test('maxRss: the replica that has grown is replaced, the others are not', async () => {
  const MiB = 2 ** 20;
  await using supervisor = await live({ maxRss: 250 * MiB });
  await using pool = await balance(supervisor, 'memory');
  const seen = watch(supervisor, pool);
  const [grown, other] = pool.pids() as [number, number];
  await pool.call({});
  const recycled = next<[RecycleEvent]>(supervisor, 'recycle');
  const gone = next<[DownEvent]>(supervisor, 'down');
  const { pid } = await pool.call<{ pid: number }>({ allocate: 250 * MiB });
  const [event] = await recycled;
  assert.is(event.pid, pid);
  assert.is(event.reason, 'maxRss');
  assert.ok(event.value >= 225 * MiB && event.value < 4_096 * MiB, `${event.value} bytes`);
  assert.is((await gone)[0].pid, pid);
  assert.ok(pool.pids().includes(pid === grown ? other : grown));
  assert.is(seen.events.length, 1);
});

test('a replacement that does not get ready: the old one stays, it is said, and tried again later', async () => {
  using folder = new Folder();
  const env = { STARTS: folder.at('starts'), BREAKS: 'throws', FROM: '1' };
  await using supervisor = await live({ replicas: 1, maxAge: 500, env });
  await using pool = await balance(supervisor, 'stays');
  const pids = pool.pids();
  const seen = watch(supervisor, pool);
  const failures: [BallermannError, number][] = [];
  supervisor.on('recycleFailed', (error) => failures.push([error, performance.now()]));
  await until(() => failures.length >= 3, 'three tries', 20_000);
  for (const [error] of failures) assert.is(error.code, 'ERR_START_FAILED');
  const [, [, second], [, third]] = failures as [
    (typeof failures)[0],
    (typeof failures)[0],
    (typeof failures)[0],
  ];
  assert.ok(third - second >= 499, `it waited ${third - second} ms`);
  assert.equal(pool.pids(), pids);
  assert.equal([...seen.sizes], [1]);
  assert.is(isAlive(pids[0] as number), true);
});

test('close() ends it, in the middle of a replacement too', async () => {
  const supervisor = await live({ replicas: 1, maxAge: 300 });
  let failures = 0;
  supervisor.on('recycleFailed', () => failures++);
  await next(supervisor, 'recycle');
  await supervisor.close();
  assert.equal(supervisor.children(), []);
  await new Promise(setImmediate);
  assert.is(failures, 0, 'an end is no failure');
});

test('bad limits are refused', async () => {
  const rows: [options: object, code: string, message: RegExp][] = [
    [{ maxRequests: 0 }, 'ERR_OUT_OF_RANGE', /^options\.maxRequests .*from 1 to .*; got 0/],
    [{ maxRequests: 2 ** 53 }, 'ERR_OUT_OF_RANGE', /^options\.maxRequests .*9007199254740991/],
    [{ maxRequests: '5' }, 'ERR_INVALID_ARG_TYPE', /^options\.maxRequests .*got '5'/],
    [{ maxAge: -1 }, 'ERR_OUT_OF_RANGE', /^options\.maxAge .*got -1/],
    [{ maxAge: Number.NaN }, 'ERR_OUT_OF_RANGE', /^options\.maxAge .*got NaN/],
    [{ maxRss: 1.5 }, 'ERR_OUT_OF_RANGE', /^options\.maxRss .*integer.*got 1.5/],
    [{ maxRss: null }, 'ERR_INVALID_ARG_TYPE', /^options\.maxRss .*got null/],
  ];
  for (const [options, code, message] of rows) await rejects(live(options), { code, message });
});

test.run();
