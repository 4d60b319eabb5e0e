/** What goes through a pool is over when a window's function runs, from whichever process or thread it comes. */

import { once } from 'node:events';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type Balancer, balance, call, map, ping, transaction } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attempt,
  deferred,
  duringWindow,
  gated,
  hold,
  journal,
  note,
  noted,
  pidAt,
  release,
  upPids,
  watch,
} from '../support/gate.js';
import { fixture, killed, rejects, start, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

/** [begin, end] in ns of the system's monotonic clock, as text. */
type Span = readonly [string, string];

interface Work {
  readonly spans: Span[];
  readonly failures: string[];
  /** How often each kind of work was done. */
  readonly done: Record<string, number>;
}

interface Hammering {
  hammer(
    kinds: Record<string, (spans: Span[]) => Promise<unknown>>,
    loops?: number,
  ): Pick<Work, 'done' | 'failures'> & { end(): Promise<Work> };
  span<T>(spans: Span[], work: () => Promise<T>): Promise<T>;
}

const { hammer, span } = (await import(fixture('hammering.mjs').href)) as Hammering;

const work = { op: 'work' };
const WINDOWS = 20;

/** Pairs of a window and a piece of work that overlap. */
function overlaps(windows: readonly Span[], spans: readonly Span[]): [Span, Span][] {
  return windows.flatMap((window) => {
    const [begin, end] = window.map(BigInt) as [bigint, bigint];
    return spans
      .filter((piece) => BigInt(piece[1]) > begin && BigInt(piece[0]) < end)
      .map((piece): [Span, Span] => [window, piece]);
  });
}

/** Round trips to every replica: time enough for what should not happen to happen. */
async function roundTrips(pool: Balancer): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.all(pool.pids().map((pid) => call(pid, note('round trip'))));
}

test('a replica that serves before it is ready is waited for, and begins nothing in a window', async () => {
  using folder = new Folder();
  const options = { exec: fixture('early.mjs'), replicas: 1, waitReady: 'ready', cwd: folder.path } as const;
  folder.open('ready');
  await using supervisor = await start(options);
  await using pool = await balance(supervisor, 'pool');
  await until(() => folder.has('port'), 'the first one to listen');
  for (const file of ['ready', 'port']) folder.shut(file);
  await killed(supervisor, pool.pid());
  await until(() => folder.has('port'), 'the next one to listen');
  const get = async (path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${folder.read('port')}/${path}`)).text();
  const first = get('first');
  await until(() => folder.has('first begun'), 'a request to begin');
  assert.is(supervisor.children()[0]?.state, 'starting');

  const opened = deferred();
  const ending = deferred();
  const window = pool.applyWithin(
    () => {
      opened.resolve();
      return ending.promise;
    },
    (pid) => ping(pid),
  );
  const isOpen = watch(opened.promise);
  const second = get('second');
  await until(() => folder.has('second came'), 'another request to come');
  assert.equal([isOpen.settled, folder.has('second begun')], [false, false]);
  folder.open('first may end');
  assert.is(await first, 'first');
  await opened.promise;
  assert.not(folder.has('second begun'));
  folder.open('second may end');
  ending.resolve();
  await window;
  assert.is(await second, 'second');
  folder.open('ready');
  await until(() => pool.pids().length === 1, 'the replica to get ready');
});

test('no work of the pool overlaps a window, none is lost and none fails', async () => {
  await using supervisor = await start({ exec: fixture('hammer.mjs') });
  await using pool = await balance(supervisor, 'pool');
  const pids = pool.pids();
  await Promise.all(pids.map((pid) => call(pid, { op: 'begin' })));
  const thread = new Worker(fixture('hammer-thread.mjs'));
  await using _ended = { [Symbol.asyncDispose]: async (): Promise<void> => void (await thread.terminate()) };
  const own = hammer({
    call: () => pool.call(work),
    cast: async () => {
      pool.cast(work);
      await sleep(1); // nothing else holds it back
    },
    transaction: (spans) => transaction('pool', (pid) => span(spans, () => call(pid, { op: 'nothing' }))),
    map: (spans) => map('pool', () => span(spans, () => sleep(1))),
  });
  await once(thread, 'online');

  const windows: Span[] = [];
  let contended = 0;
  for (let i = 1; i <= WINDOWS; i++) {
    const enough = 10 * i;
    const progress = (): boolean => {
      assert.equal(own.failures, []);
      return Object.values(own.done).every((count) => count >= enough);
    };
    await until(progress, `work between windows ${i - 1} and ${i}`);
    await pool.applyWithin(
      () => span(windows, async () => void (await Promise.all(pids.map((pid) => ping(pid))))),
      (pid) => {
        const { transactions, replicas } = pool.stats();
        if (transactions > 0 || replicas.some(({ unfinished }) => unfinished > 1)) contended++;
        return ping(pid);
      },
    );
  }

  const ending = once(thread, 'message');
  thread.postMessage('end');
  const pieces: Work[] = [
    await own.end(),
    ...(await Promise.all(pids.map((pid) => call<Work>(pid, { op: 'end' })))),
    ((await ending) as [Work])[0],
  ];
  await Promise.all(pids.map((pid) => ping(pid))); // the last casts too
  const served = (await Promise.all(pids.map((pid) => call<Span[]>(pid, { op: 'served' })))).flat();
  const spans = [...served, ...pieces.flatMap((piece) => piece.spans)];

  assert.equal(
    pieces.flatMap(({ failures }) => failures),
    [],
  );
  assert.equal(overlaps(windows, spans), []);
  const sent = pieces.reduce((sum, { done }) => sum + (done['call'] ?? 0) + (done['cast'] ?? 0), 0);
  assert.is(served.length, sent);
  assert.is(windows.length, WINDOWS);
  // Had nobody been at work, it would all prove nothing.
  assert.ok(contended > 0);
  for (const { done } of pieces) {
    for (const [kind, count] of Object.entries(done)) assert.ok(count > WINDOWS, `${count} of ${kind}`);
  }
});

test('a window waits for a transaction of the primary, however often its replicas answer', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const ending = deferred();
  const transacted = pool.transaction(() => ending.promise);
  await until(() => pool.stats().transactions === 1, 'the transaction to run');
  const order: string[] = [];
  const window = pool.applyWithin(() => order.push('window'), ping);
  await once(pool, 'pause');
  await roundTrips(pool);
  order.push('transaction');
  ending.resolve();
  await Promise.all([transacted, window]);
  assert.equal(order, ['transaction', 'window']);
});

test('a window waits for a transaction of a replica and of a thread there', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const busy = pidAt(pool.pids(), 0);
  await call(busy, { op: 'occupy', pool: 'pool', key: 'work' });
  await call(busy, { op: 'occupyInThread', pool: 'pool' });
  await until(() => pool.stats().transactions === 2, 'both transactions to run');
  let ran = false;
  const window = pool.applyWithin(() => {
    ran = true;
  }, ping);
  await once(pool, 'pause');
  await roundTrips(pool);
  await release(busy, 'work');
  await until(() => pool.stats().transactions === 1, "the replica's own transaction to end");
  await roundTrips(pool);
  assert.not(ran);
  await call(busy, { op: 'endThreads' });
  await window;
  assert.is(pool.stats().transactions, 0);
});

test('a replica killed in the middle of its transactions leaves no count behind', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool', 1);
  const [first, second] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  for (const pid of [first, second]) {
    await call(pid, { op: 'occupy', pool: 'pool', key: 'never' });
    await call(pid, { op: 'occupyInThread', pool: 'pool' });
  }
  await until(() => pool.stats().transactions === 4, 'the transactions to run');

  await killed(supervisor, first); // before a window
  await until(() => pool.stats().transactions === 2, 'those of the dead one to be gone');
  await until(() => pool.pids().length === 2, 'its replacement');

  let ran = false;
  const window = pool.applyWithin(() => {
    ran = true;
  }, ping);
  await once(pool, 'pause');
  await roundTrips(pool);
  assert.not(ran);
  await killed(supervisor, second); // while a window waits for it
  await window;
  assert.ok(ran);
  assert.is(pool.stats().transactions, 0);
});

test('a worker thread terminated in the middle of its transaction leaves no count behind', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  for (let i = 0; i < 3; i++) {
    const thread = new Worker(fixture('thread.mjs'), { workerData: { occupy: 'pool' } });
    await once(thread, 'message'); // it is inside its transaction
    assert.is(pool.stats().transactions, 1);
    let ran = false;
    const window = pool.applyWithin(() => {
      ran = true;
    }, ping);
    await once(pool, 'pause');
    await roundTrips(pool);
    assert.not(ran);
    await thread.terminate();
    await window;
    assert.is(pool.stats().transactions, 0);
  }
});

test('a window whose last replica dies still waits for the transactions of others', async () => {
  await using supervisor = await gated({ replicas: 1, restart: 'temporary' });
  await using pool = await balance(supervisor, 'pool');
  const ending = deferred();
  const transacted = pool.transaction(() => ending.promise);
  await until(() => pool.stats().transactions === 1, 'the transaction to run');
  const order: string[] = [];
  const window = pool.applyWithin(() => order.push('window'), ping);
  await once(pool, 'pause');
  await killed(supervisor, pidAt(upPids(supervisor), 0));
  for (let turns = 0; turns < 100; turns++) await turn();
  order.push('transaction');
  ending.resolve();
  await Promise.all([transacted, window]);
  assert.equal(order, ['transaction', 'window']);
});

test('a failed transaction and a refused one give their counts back', async () => {
  await using supervisor = await gated({ replicas: 1, restart: 'temporary' });
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  const thrown = new Error('thrown in a transaction');
  const fail = (): never => {
    throw thrown;
  };
  assert.is(await pool.transaction(fail).catch((error: unknown) => error), thrown);
  assert.is(await pool.map(fail).catch((error: unknown) => error), thrown);
  assert.is((await attempt(replica, 'transaction', 'pool')).error?.code, 'ERR_INVALID_ARG_TYPE');
  assert.is(pool.stats().transactions, 0);
  await killed(supervisor, replica);
  await rejects(
    pool.transaction(() => assert.unreachable()),
    'ERR_DISCONNECTED',
  );
  assert.is(pool.stats().transactions, 0);
  assert.is(await pool.applyWithin(() => 'ran', ping), 'ran');
});

test('a transaction that is aborted while it waits for the end of a window never runs', async () => {
  await using supervisor = await gated({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const reason = new Error('aborted by the test');
  const never = (): never => assert.unreachable() as never;
  await duringWindow(pool, async () => {
    const controller = new AbortController();
    const waiting = pool.transaction(never, { signal: controller.signal });
    controller.abort(reason);
    assert.is(await waiting.catch((error: unknown) => error), reason);
    const late = pool.transaction(never, { signal: controller.signal });
    assert.is(await late.catch((error: unknown) => error), reason);
  });
  assert.is(pool.stats().transactions, 0);
  assert.is(await pool.transaction(() => 'ran'), 'ran');
});

test('a ping is answered after what was sent before it, and not held up by what was sent after it', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const replica = pidAt(pool.pids(), 0);
  const order: string[] = [];
  const track = (name: string, promise: Promise<unknown>): Promise<unknown> =>
    promise.then(() => order.push(name));
  const all = [
    track('first', call(replica, hold('first'))),
    track('ping after first', ping(replica)),
    track('second', call(replica, hold('second'))),
    track('third', call(replica, hold('third'))),
    track('ping after all', ping(replica)),
  ];
  await noted(replica, 'start third');
  assert.equal(order, []);
  await release(replica, 'third');
  await all[3];
  await journal(replica);
  assert.equal(order, ['third']);
  await release(replica, 'first');
  await all[1];
  assert.equal(order, ['third', 'first', 'ping after first']);
  await journal(replica); // an answer to the other ping would have come before this one
  assert.is(order.length, 3);
  await release(replica, 'second');
  await Promise.all(all);
  assert.equal(order.slice(3), ['second', 'ping after all']);
});

test('a ping waits for casts, for what failed and for what nobody waits for any more', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const replica = pidAt(pool.pids(), 0);
  const controller = new AbortController();
  const reason = new Error('not needed any more');
  const aborted = call(replica, hold('aborted'), { signal: controller.signal });
  const timedOut = rejects(call(replica, hold('timed out'), { timeout: 20 }), 'ERR_TIMEOUT');
  const failed = rejects(call(replica, { op: 'no such operation' }), 'ERR_REMOTE');
  const pinged = ping(replica);
  const state = watch(pinged);
  await noted(replica, 'start timed out');
  controller.abort(reason);
  assert.is(await aborted.catch((error: unknown) => error), reason);
  await Promise.all([timedOut, failed]);
  await noted(replica, 'abort timed out');
  assert.not(state.settled); // both handlers are still running
  await release(replica, 'aborted');
  await journal(replica);
  assert.not(state.settled);
  await release(replica, 'timed out');
  await pinged;
  const entries = await journal(replica);
  assert.ok(entries.includes('end aborted') && entries.includes('end timed out'));
});

test.run();
