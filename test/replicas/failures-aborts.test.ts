/** An AbortSignal that is aborted at each stage of a call: the caller gets its reason once, and nothing is left of it. */

import { getEventListeners } from 'node:events';
import { type Balancer, balance, call, ping, type Supervisor } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { begun, failing, patient, standStill, stopped } from '../support/failing.js';
import { duringWindow } from '../support/gate.js';
import { downOf, until } from '../support/helpers.js';
import { Folder, later } from '../support/processes.js';

const reason = new Error('the caller has changed its mind');
const MB = 1024 * 1024;

/** One replica, and one call whose signal the test aborts. */
interface Stage {
  readonly folder: Folder;
  readonly supervisor: Supervisor;
  readonly pool: Balancer;
  readonly replica: number;
  /** A call with the signal, and how it is settled: 'reply', or what it rejects with. */
  begin(message: object): Promise<unknown>;
  abort(): void;
}

/**
 * Runs `work` and checks that all is as it was: no listener on the signal, nothing unfinished, and the replica has begun
 * as many messages of the test as it should.
 */
async function stage(
  work: (stage: Stage) => Promise<void>,
  expected: { begun: number; late?: number; alive?: false },
): Promise<void> {
  using folder = new Folder();
  await using supervisor = await failing(folder, { replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const controller = new AbortController();
  const { signal } = controller;
  let settlements = 0;
  const replica = pool.pid();
  await work({
    folder,
    supervisor,
    pool,
    replica,
    begin: (message) => {
      const settled = pool.call(message, { ...patient, signal }).then(
        () => 'reply',
        (error: unknown) => error,
      );
      return settled.finally(() => settlements++);
    },
    abort: () => controller.abort(reason),
  });
  assert.is(settlements, 1);
  assert.equal(getEventListeners(signal, 'abort'), []);
  await until(() => pool.stats().replicas.every(({ unfinished }) => unfinished === 0), 'an idle replica');
  if (expected.alive !== false) assert.is(await call(replica, { op: 'handled' }), expected.begun + 1);
  const { late, malformed, held } = pool.stats();
  assert.equal({ late, malformed, held }, { late: expected.late ?? 0, malformed: 0, held: 0 });
}

const handled = { op: 'handled' };

/** What was called in the turn before has gone out, if the channel took it. */
async function turns(): Promise<void> {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => setImmediate(resolve));
}

test('an abort before the call: nothing is sent', () =>
  stage(
    async ({ begin, abort }) => {
      abort();
      assert.is(await begin(handled), reason);
    },
    { begun: 0 },
  ));

test('an abort while a window holds the call: it is never sent', () =>
  stage(
    async ({ pool, begin, abort }) => {
      await duringWindow(pool, async () => {
        const settled = begin(handled);
        await until(() => pool.stats().held === 1, 'it to be held');
        abort();
        assert.is(await settled, reason);
      });
    },
    { begun: 0 },
  ));

test('an abort in the turn of the call: it is never sent', () =>
  stage(
    async ({ pool, begin, abort }) => {
      const before = later(pool.call({ op: 'handled' })); // it goes out at once, those behind it do not
      const settled = begin(handled);
      abort();
      assert.is(await settled, reason);
      await before;
    },
    { begun: 1 },
  ));

test('an abort while the call waits behind a full channel: it is never sent', () =>
  stage(
    async ({ replica, begin, abort }) => {
      await stopped(replica);
      const large = later(call(replica, { op: 'sizes', text: 'x'.repeat(16 * MB) }, patient));
      await turns();
      const settled = begin(handled);
      await turns();
      abort();
      process.kill(replica, 'SIGCONT');
      assert.is(await settled, reason);
      await large;
    },
    { begun: 1 },
  ));

test('an abort when the call is sent and not begun: it rejects at once, and the answer is dropped and counted', () =>
  stage(
    async ({ replica, begin, abort }) => {
      await stopped(replica);
      const settled = begin(handled);
      await turns();
      abort();
      assert.is(await settled, reason);
      process.kill(replica, 'SIGCONT');
    },
    { begun: 1, late: 1 },
  ));

test('an abort while the handler runs: it rejects at once, and the answer is dropped and counted', () =>
  stage(
    async ({ folder, replica, begin, abort }) => {
      const settled = begin({ op: 'hold', key: 'it' });
      await begun(folder, replica, 'it');
      abort();
      assert.is(await settled, reason);
      await call(replica, { op: 'open', key: 'it' });
    },
    { begun: 2, late: 1 },
  ));

test('an abort when the answer has come and was not read: the reason, and the answer is dropped and counted', () =>
  stage(
    async ({ folder, replica, begin, abort }) => {
      await ping(replica);
      const settled = begin({ op: 'answer', file: 'answered' }); // what is alone goes out at once
      standStill(() => folder.has('answered'), 'the answer');
      abort();
      assert.is(await settled, reason);
    },
    { begun: 1, late: 1 },
  ));

test('one signal for many calls, pings, transactions and windows: one listener, no warning, and all of them end', async () => {
  using folder = new Folder();
  await using supervisor = await failing(folder, { replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  await using other = await balance(supervisor, 'other');
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on('warning', note);
  const controller = new AbortController();
  const { signal } = controller;
  const pid = pool.pid();
  let outcomes: unknown[] = [];
  await duringWindow(pool, async () => {
    const waiting = Array.from({ length: 12 }, () => [
      pool.call(handled, { signal }),
      ping(pid, { signal, timeout: 20_000 }),
      pool.transaction(() => assert.unreachable(), { signal }),
      other.applyWithin(() => new Promise(() => {}), 0, { signal }),
      call(pid, { op: 'hold', key: 'all' }, { signal }),
    ]).flat();
    const settled = Promise.all(waiting.map((each) => each.catch((error: unknown) => error)));
    await turns();
    assert.is(getEventListeners(signal, 'abort').length, 1);
    controller.abort(reason);
    outcomes = await settled;
  });
  process.off('warning', note);
  assert.ok(outcomes.every((outcome) => outcome === reason || outcome === undefined)); // a ping may have been answered
  assert.equal(getEventListeners(signal, 'abort'), []);
  assert.equal(warnings, []);
  await call(pid, { op: 'open', key: 'all' });
});

test('an abort after the answer changes nothing', () =>
  stage(
    async ({ begin, abort }) => {
      assert.is(await begin(handled), 'reply');
      abort();
    },
    { begun: 1 },
  ));

test('an abort of a call that a death has sent back: it rejects at once, and is not made again', () =>
  stage(
    async ({ folder, supervisor, pool, replica, begin, abort }) => {
      const blocked = later(call(replica, { op: 'block', file: 'never' }, patient));
      await until(() => folder.has('begun never'), 'the replica to stand still');
      const settled = begin(handled);
      const down = downOf(supervisor, replica);
      process.kill(replica, 'SIGKILL');
      await down;
      await until(() => pool.stats().held === 1, 'the call to be held for the replacement');
      abort();
      assert.is(await settled, reason);
      await blocked.catch(() => {});
      await until(() => pool.pids().length === 1, 'the replacement');
      assert.is(await pool.call(handled), 1);
    },
    { begun: 0, alive: false },
  ));

test.run();
