/** Calls and casts: each settles once, whatever dies around it; order, limits, and what a slow reader costs. */

import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { type BallermannError, balance, type CallOptions, call, cast, ping } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attempt,
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
import {
  downOf,
  type Failure,
  fixture,
  killed,
  rejects,
  start,
  throws,
  times,
  until,
} from '../support/helpers.js';

const reason = new Error('the caller has changed its mind');
const patient: CallOptions = { timeout: 60_000 };
const MB = 1024 * 1024;

function raise(what: string): { op: 'raise'; what: string } {
  return { op: 'raise', what };
}

/** What a promise rejects with that is no Error, or not one of ours. */
function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => assert.unreachable(`resolved with ${value}`),
    (error: unknown) => error,
  );
}

function causeOf(error: Error): Failure {
  assert.instance(error.cause, Error);
  return error.cause as Failure;
}

/** A folder that is gone when the test ends. */
class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'ballermann-'));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Makes a replica stand still in a handler until `end`. */
async function block(
  folder: Folder,
  pid: number,
): Promise<{ readonly blocked: Promise<number>; end(): void }> {
  const file = join(folder.path, `${pid}`);
  const blocked = call<number>(pid, { op: 'block', file }, patient);
  blocked.catch(() => {});
  await until(() => existsSync(`${file}.begun`), `replica ${pid} to stand still`);
  return { blocked, end: () => writeFileSync(file, '') };
}

test('values arrive and come back as they were sent', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const values = [undefined, null, '', 0, false, 'undefined', 'ä€🦊\u0000\ud800', -1.5, [], {}, [[null]]];
  const nested = { a: [1, { b: 'c' }], d: null };
  for (const value of [...values, nested]) {
    assert.equal(await pool.call({ op: 'echo', value }), value);
    assert.equal(await call(pool.pid(), { op: 'echo', value }), value);
  }
  await using echo = await start();
  const pid = pidAt(upPids(echo), 0);
  for (const value of values) {
    const reply = await call<{ echo: unknown }>(pid, value); // the bare message itself
    assert.equal(reply.echo, value);
  }
});

test("with 'advanced' serialization also what JSON has no word for", async () => {
  await using supervisor = await gated({ serialization: 'advanced' });
  await using pool = await balance(supervisor, 'pool');
  const values = [
    undefined,
    null,
    '',
    0,
    10n ** 30n,
    new Map([[{ a: 1 }, new Set([Number.NaN])]]),
    new Date(0),
    /a+/g,
    new Uint8Array([1, 2, 3]),
    { sparse: undefined },
  ];
  for (const value of values) assert.equal(await pool.call({ op: 'echo', value }), value);
  const circular: { self?: unknown } = {};
  circular.self = circular;
  const reply = await pool.call<typeof circular>({ op: 'echo', value: circular });
  assert.is(reply.self, reply);
  const failure = await rejects(pool.call({ op: 'echo', value: () => {} }), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.instance(failure, TypeError);
  await rejects(pool.call(raise('function')), 'ERR_REMOTE');
});

test("what the handler throws is the cause: name, message, code, cause and the replica's stack", async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const replica = pidAt(pool.pids(), 0);
  const failure = await rejects(call(replica, raise('error')), {
    code: 'ERR_REMOTE',
    name: 'BallermannError',
    message: /RangeError: cannot be done/,
  });
  assert.is(failure.pid, replica);
  const cause = causeOf(failure);
  assert.is(cause.name, 'RangeError');
  assert.is(cause.message, 'cannot be done');
  assert.is(cause.code, 'ERR_OF_ITS_OWN');
  assert.match(cause.stack ?? '', /gate\.mjs/);
  assert.is(causeOf(cause).code, 'ENOSPC');

  const named = causeOf(await rejects(pool.call(raise('named')), 'ERR_REMOTE'));
  assert.is(named.name, 'OwnError');
  const rejected = causeOf(await rejects(pool.call(raise('rejection')), 'ERR_REMOTE'));
  assert.is(rejected.name, 'TypeError');
});

test('whatever else a handler throws, or cannot answer, is ERR_REMOTE and harms nobody', async () => {
  await using supervisor = await gated({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  const expected: [what: string, message: RegExp][] = [
    ['text', /a text/],
    ['nothing', /undefined/],
    ['null', /null/],
    ['symbol', /a symbol/],
    ['object', /42/],
    ['hostile', /./],
    ['function', /serializable/],
    ['large', /at most/],
  ];
  for (const [what, message] of expected) {
    const failure = await rejects(pool.call(raise(what), patient), 'ERR_REMOTE');
    assert.match(causeOf(failure).message, message, what);
  }
  assert.is(pool.pid(), replica);
  assert.is(pool.stats().malformed, 0);
});

test('a time-out tells the handler, and its late reply is dropped and counted', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  const failure = await rejects(call(replica, hold('work'), { timeout: 30 }), 'ERR_TIMEOUT');
  assert.match(failure.message, /30 ms/);
  await noted(replica, 'abort work');
  assert.is(pool.stats().late, 0);
  await release(replica, 'work');
  await ping(replica);
  assert.equal(await journal(replica), ['start work', 'abort work', 'end work']);
  assert.is(pool.stats().late, 1);
  const held = call(replica, hold('again'));
  await rejects(call(replica, hold('again'), { timeout: 0 }), 'ERR_TIMEOUT');
  await rejects(ping(replica, { timeout: 0 }), 'ERR_TIMEOUT');
  await release(replica, 'again');
  await held;
});

test('an abort before the call sends nothing', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  const aborted = { signal: AbortSignal.abort(reason) };
  for (const attempted of [
    pool.call(note('never'), aborted),
    call(replica, note('never'), aborted),
    ping(replica, aborted),
  ]) {
    assert.is(await rejection(attempted), reason);
  }
  assert.is(pool.stats().sent, 0);
  for (const pid of pool.pids()) assert.equal(await journal(pid), []);
});

test('an abort of a held or a queued call keeps it from being sent', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const controller = new AbortController();
  const { signal } = controller;
  await duringWindow(pool, async () => {
    const held = rejection(pool.call(note('never'), { signal }));
    await until(() => pool.stats().held === 1, 'the call to be held');
    controller.abort(reason);
    assert.is(await held, reason);
    assert.is(pool.stats().held, 0);
  });

  const later = new AbortController();
  const queued = rejection(pool.call(note('never'), { signal: later.signal }));
  const direct = rejection(call(pidAt(pool.pids(), 0), note('never'), { signal: later.signal }));
  later.abort('a reason that is no error'); // in the same turn: both wait to be sent
  assert.is(await queued, 'a reason that is no error');
  assert.is(await direct, 'a reason that is no error');
  for (const pid of pool.pids()) {
    await ping(pid);
    assert.equal(await journal(pid), []);
  }
  await until(() => pool.stats().replicas.every(({ unfinished }) => unfinished === 0), 'idle replicas');
});

test("an abort of a running call aborts the handler's signal, and the replica counts until it ends", async () => {
  await using supervisor = await gated({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  const controller = new AbortController();
  const running = rejection(pool.call(hold('work'), { signal: controller.signal }));
  await noted(replica, 'start work');
  controller.abort(reason);
  assert.is(await running, reason);
  await noted(replica, 'abort work');
  const unfinished = (): number | undefined => pool.stats().replicas[0]?.unfinished;
  assert.is(unfinished(), 1);
  await release(replica, 'work');
  await until(() => unfinished() === 0, 'the replica to be idle');
  assert.is(pool.stats().late, 1);
});

test("the death of a calling replica aborts the handler's signal", async () => {
  await using supervisor = await gated();
  await using _pool = await balance(supervisor, 'pool');
  const [caller, called] = [pidAt(upPids(supervisor), 0), pidAt(upPids(supervisor), 1)];
  await call(caller, { op: 'begin', key: 'own call', what: 'call', args: [called, hold('work'), patient] });
  await noted(called, 'start work');
  await killed(supervisor, caller);
  await noted(called, 'abort work');
  await release(called, 'work');
});

test('calls of a killed replica: the begun are rejected, the others go to the next, and each runs once', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  using folder = new Folder();
  const held = pool.pids().map(() => pool.call(hold('begun'), patient)); // one to each
  for (const promise of held) promise.catch(() => {});
  const [victim, survivor] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  for (const pid of pool.pids()) await noted(pid, 'start begun');
  const { blocked } = await block(folder, victim);
  const calls = times(20, () => pool.call<number>(note('called'), patient));
  const casts = times(20, () => pool.cast(note('cast')));
  const direct = call(victim, note('direct'), patient);
  direct.catch(() => {});
  const answered = (): Promise<unknown> => journal(survivor).then((entries) => entries.length === 21);
  await until(answered, 'the share of the other replica');
  await killed(supervisor, victim);

  assert.equal(await Promise.all(calls), new Array(20).fill(survivor));
  await release(survivor, 'begun');
  const begun = await Promise.allSettled(held);
  const failures = begun.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
  assert.is(failures.length, 1);
  for (const promise of [Promise.reject(failures[0]?.reason), blocked, direct]) {
    const failure = await rejects(promise, 'ERR_REPLICA_DIED');
    assert.is(failure.pid, victim);
    assert.is(failure.exitCode, null);
    assert.is(failure.signal, 'SIGKILL');
  }
  assert.is(pool.stats().redirected, 20);
  await ping(survivor);
  const entries = await journal(survivor);
  assert.is(entries.filter((entry) => entry === 'called').length, calls.length);
  assert.is(entries.filter((entry) => entry === 'cast').length, casts.length);
});

test('an idempotent call that may have begun goes to another replica', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const retried = pool.call<number>(hold('work'), { ...patient, idempotent: true });
  const victim = await until(async () => {
    for (const pid of pool.pids()) if ((await journal(pid)).length > 0) return pid;
    return 0;
  }, 'the call to begin');
  const survivor = pool.pids().find((pid) => pid !== victim) as number;
  await killed(supervisor, victim);
  await noted(survivor, 'start work');
  await release(survivor, 'work');
  assert.is(await retried, survivor);
  assert.is(pool.stats().redirected, 1);
});

test('a call that is cancelled before there is a handler leaves the account of what has begun right', async () => {
  await using supervisor = await start({ exec: fixture('late.mjs'), waitReady: false, replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const first = pool.pid();
  const worker = Object.values(cluster.workers ?? {}).find((each) => each?.process.pid === first) as Worker;
  let heard = 0;
  worker.on('message', (round) => {
    heard = round;
  });
  /** Resolves when the replica has all that was sent in earlier turns: it comes by the same channel. */
  const arrived = async (round: number): Promise<void> => {
    await turn();
    await turn();
    // Node 20 loses what comes before an ESM script has loaded, so once is not enough.
    await until(() => heard === round || (worker.send(round) && false), `round ${round}`);
  };
  await arrived(1);
  const controller = new AbortController();
  const cancelled = rejection(pool.call({ value: 'cancelled' }, { ...patient, signal: controller.signal }));
  const begun = pool.call({ value: 'begun', die: true }, patient);
  const state = watch(begun);
  await arrived(2);
  controller.abort(reason);
  assert.is(await cancelled, reason);
  await until(() => pool.stats().replicas[0]?.unfinished === 1, 'the cancelled call to be forgotten');
  const down = downOf(supervisor, first);
  worker.send('handle');
  await down;
  await until(() => state.settled || pool.stats().redirected > 0, 'the end of the call');
  assert.is(pool.stats().redirected, 0, 'what had begun must not go to another replica');
  await rejects(begun, 'ERR_REPLICA_DIED');
});

test('a call that is held for want of replicas is made when one comes, or ends with its pool', async () => {
  await using supervisor = await gated({ replicas: 1, backoff: { initial: 1, max: 1 } });
  await using pool = await balance(supervisor, 'pool');
  using folder = new Folder();
  const victim = pool.pid();
  await block(folder, victim);
  const waiting = pool.call<number>(note('waiting'), patient);
  await until(() => pool.stats().replicas[0]?.unfinished === 2, 'the call to be sent');
  await killed(supervisor, victim);
  const replacement = await waiting;
  assert.is.not(replacement, victim);
  assert.is(pool.pid(), replacement);
});

test('a reply of any size and an exit in one turn: the reply arrives', async () => {
  await using supervisor = await gated({ intensity: 100 });
  await using pool = await balance(supervisor, 'pool');
  for (const [code, size, crash] of [
    [0, 0, undefined],
    [3, 16 * MB, undefined], // more than the channel holds: the replica waits until the primary has read enough
    [1, 16 * MB, 'the cause'],
  ] as const) {
    const replica = pool.pid();
    const down = downOf(supervisor, replica);
    const replies = times(2, () => call<string>(replica, { op: 'lastWords', code, size, crash }, patient));
    for (const reply of replies) assert.is((await reply).length, 'last words'.length + size);
    const event = await down;
    assert.is(event.code, code);
    assert.is(event.error?.message, crash);
    await until(() => upPids(supervisor).length === 2, 'the replacement');
    await pool.refresh();
  }
});

test('a replica that exits by itself says with which code', async () => {
  await using supervisor = await start({ replicas: 1, restart: 'temporary' });
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  const failure = await rejects(pool.call({ op: 'exit', code: 7 }), 'ERR_REPLICA_DIED');
  assert.is(failure.pid, replica);
  assert.is(failure.exitCode, 7);
  assert.is(failure.signal, null);
  await rejects(pool.call('anything'), 'ERR_DISCONNECTED');
  await rejects(call(replica, 'anything'), 'ERR_NO_SUCH_REPLICA');
  throws(() => cast(replica, 'anything'), 'ERR_NO_SUCH_REPLICA');
  await rejects(ping(replica), 'ERR_NO_SUCH_REPLICA');
});

test('a cast that fails is reported by the supervisor', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  for (const send of [(): void => cast(replica, raise('error')), (): void => pool.cast(raise('error'))]) {
    const reported = once(supervisor, 'castFailed') as Promise<[BallermannError]>;
    send();
    const [error] = await reported;
    assert.is(error.code, 'ERR_REMOTE');
    assert.ok(pool.pids().includes(error.pid as number));
    assert.is(causeOf(error).code, 'ERR_OF_ITS_OWN');
  }
});

test('what waits for a stopped replica is bounded, and what was accepted arrives', async () => {
  await using supervisor = await gated({ shutdown: 500 });
  await using pool = await balance(supervisor, 'pool');
  const [stopped, other] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  const large = 'x'.repeat(8 * MB);
  const accepted: Promise<unknown>[] = [];
  process.kill(stopped, 'SIGSTOP');
  try {
    let refused: unknown;
    for (let i = 0; i < 40 && refused === undefined; i++) {
      const sent = call(stopped, { op: 'note', value: i, large }, patient);
      const state = await Promise.race([
        sent.then(
          () => 'answered',
          (error: unknown) => error,
        ),
        new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
      ]);
      if (state === undefined) accepted.push(sent);
      else refused = state;
    }
    assert.is((refused as Failure).code, 'ERR_OVERLOAD');
    assert.is((refused as Failure).pid, stopped);
    assert.ok(accepted.length >= 8 && accepted.length <= 11, `${accepted.length} of 8 MB were accepted`);
    throws(() => cast(stopped, { op: 'note', large }), 'ERR_OVERLOAD');
    // The pool passes it over.
    const replies = await Promise.all(times(6, () => pool.call({ op: 'note', value: 'other', large })));
    assert.equal(replies, new Array(6).fill(other));
  } finally {
    process.kill(stopped, 'SIGCONT');
  }
  await Promise.all(accepted);
  assert.equal(
    await journal(stopped),
    accepted.map((_, i) => i),
  );
  assert.is(await call(stopped, note('small')), stopped);
});

test('a replica with maxQueueLength unfinished messages is passed over; when all have, ERR_OVERLOAD', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool', { maxQueueLength: 2 });
  const [first, second] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  const direct = times(2, () => call(first, hold('direct'), patient));
  const rest = times(2, () => pool.call<number>(hold('pool'), patient));
  await rejects(pool.call(note('too many')), 'ERR_OVERLOAD');
  throws(() => pool.cast(note('too many')), 'ERR_OVERLOAD');
  throws(() => pool.pid(), 'ERR_OVERLOAD');
  assert.equal(
    pool.stats().replicas.map(({ unfinished }) => unfinished),
    [2, 2],
  );
  await release(first, 'direct'); // a message to a pid is not bounded by the pool
  await Promise.all(direct);
  assert.is(pool.pid(), first);
  assert.is(await pool.call(note('again')), first);
  await release(second, 'pool');
  assert.equal(await Promise.all(rest), [second, second]);
});

test('a message that is too long is refused at once', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const tooLong = 'x'.repeat(64 * MB);
  for (const send of [(): unknown => pool.cast(tooLong), (): unknown => cast(pool.pid(), tooLong)]) {
    assert.instance(throws(send, 'ERR_OUT_OF_RANGE'), RangeError);
  }
  assert.instance(await rejects(pool.call(tooLong), 'ERR_OUT_OF_RANGE'), RangeError);
  assert.instance(await rejects(call(pool.pid(), tooLong), 'ERR_OUT_OF_RANGE'), RangeError);
  assert.is(pool.stats().sent, 0);
});

test('a message that cannot travel is refused at once, those beside it are not', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const circular: { self?: unknown } = {};
  circular.self = circular;
  const hostile = {
    toJSON(): never {
      throw new Error('of its own');
    },
  };
  const before = times(5, () => pool.call<number>(note('beside')));
  for (const message of [1n, circular, hostile, () => {}, Symbol('s')]) {
    assert.instance(await rejects(pool.call(message), 'ERR_INVALID_ARG_TYPE'), TypeError);
    assert.instance(await rejects(call(pool.pid(), message), 'ERR_INVALID_ARG_TYPE'), TypeError);
    throws(() => pool.cast(message), 'ERR_INVALID_ARG_TYPE');
    throws(() => cast(pool.pid(), message), 'ERR_INVALID_ARG_TYPE');
  }
  const after = times(5, () => pool.call<number>(note('beside')));
  const pids = await Promise.all([...before, ...after]);
  assert.ok(pids.every((pid) => pool.pids().includes(pid)));
});

test('a message that is changed after the call arrives as it was', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const message = { op: 'echo', value: { list: [1] } };
  const sent = [pool.call(message), call(pool.pid(), message)];
  const heldReplies = await duringWindow(pool, () => {
    const held = pool.call(message);
    message.value.list.push(2);
    return [held]; // in an array: the window must not wait for it
  });
  assert.equal(await Promise.all([...sent, ...heldReplies]), new Array(3).fill({ list: [1] }));
});

test('a replica calls, casts and pings a pool and another pid', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const [caller, called] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  for (const value of [null, '', 0, { a: [1] }]) {
    assert.equal(await attempt(caller, 'call', called, { op: 'echo', value }), { value });
    assert.equal(await attempt(caller, 'call', 'pool', { op: 'echo', value }), { value });
  }
  assert.equal(await attempt(caller, 'call', called, { op: 'echo' }), {}); // undefined does not show in JSON
  assert.equal(await attempt(caller, 'cast', called, note('from a replica')), {});
  assert.equal(await attempt(caller, 'ping', called), {});
  assert.equal(await journal(called), ['from a replica']);
  await attempt(caller, 'cast', 'pool', note('to the pool'));
  await until(async () => {
    const entries = await Promise.all(pool.pids().map(journal));
    return entries.flat().includes('to the pool');
  }, 'the cast to the pool');
});

test('between supervisors that serialize differently', async () => {
  await using plain = await gated({ replicas: 1 });
  await using advanced = await gated({ replicas: 1, serialization: 'advanced' });
  const [one, two] = [pidAt(upPids(plain), 0), pidAt(upPids(advanced), 0)];
  const value = { a: [1, 'b', null] };
  assert.equal(await attempt(one, 'call', two, { op: 'echo', value }), { value });
  assert.equal(await attempt(two, 'call', one, { op: 'echo', value }), { value });
  assert.is((await attempt(one, 'call', two, raise('error'))).error?.code, 'ERR_REMOTE');
});

test('what fails for a replica is as typed there as in the primary', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const [caller, called] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  const stranger = 2 ** 30; // above any pid of Linux
  const cases: [code: string, what: string, ...args: unknown[]][] = [
    ['ERR_NO_SUCH_POOL', 'call', 'nowhere', 1],
    ['ERR_NO_SUCH_POOL', 'cast', 'nowhere', 1],
    ['ERR_NO_SUCH_POOL', 'pid', 'nowhere'],
    ['ERR_NO_SUCH_REPLICA', 'call', stranger, 1],
    ['ERR_NO_SUCH_REPLICA', 'ping', stranger],
    ['ERR_REMOTE', 'call', called, raise('error')],
    ['ERR_TIMEOUT', 'call', called, hold('never'), { timeout: 30 }],
    ['ERR_TIMEOUT', 'ping', called, { timeout: 0 }],
  ];
  for (const [code, what, ...args] of cases) {
    const { error, typed } = await attempt(caller, what, ...args);
    assert.is(error?.code, code, `${what} ${JSON.stringify(args)}: ${error?.message}`);
    assert.is(error?.name, 'BallermannError');
    assert.ok(typed, `${code} is a BallermannError there`);
  }
  const { error } = await attempt(caller, 'call', called, raise('error'));
  assert.is(error?.pid, called);
  assert.is(error?.cause?.name, 'RangeError');
  assert.is(error?.cause?.code, 'ERR_OF_ITS_OWN');
  assert.match(error?.cause?.stack ?? '', /gate\.mjs/);
  await noted(called, 'abort never');
  await release(called, 'never');

  const args = [called, hold('work'), patient];
  await call(caller, { op: 'begin', key: 'doomed', what: 'call', args });
  await noted(called, 'start work');
  await killed(supervisor, called);
  const doomed = await call<Awaited<ReturnType<typeof attempt>>>(caller, { op: 'outcome', key: 'doomed' });
  assert.is(doomed.error?.code, 'ERR_REPLICA_DIED');
  assert.is(doomed.error?.pid, called);
  assert.is(doomed.error?.signal, 'SIGKILL');
  assert.ok(doomed.typed);
});

test('messages from one caller to one pid keep their order', async () => {
  await using supervisor = await gated();
  await using _pool = await balance(supervisor, 'pool');
  const [relay, target] = [pidAt(upPids(supervisor), 0), pidAt(upPids(supervisor), 1)];
  const numbers = times(2_000, () => 0).map((_, i) => i);
  const calls: Promise<unknown>[] = [];
  for (const i of numbers) {
    if (i % 3 === 0) cast(target, note(i));
    else calls.push(call(target, note(i)));
    if (i % 500 === 0) await Promise.resolve();
  }
  await Promise.all(calls);
  await ping(target);
  assert.equal(await journal(target), numbers);
  const relayed = times(50, () => 0).map((_, i) => `relayed ${i}`);
  for (const value of relayed) await attempt(relay, 'cast', target, note(value));
  await noted(target, relayed.at(-1));
  assert.equal((await journal(target)).slice(numbers.length), relayed);
});

test('10,000 calls in flight are each answered with their own reply', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const pids = pool.pids(); // one that works through its thousands may be out of rotation later
  const gates = pids.map(() => pool.call(hold('gate'), patient));
  const calls = times(10_000, () => 0).map((_, i) => pool.call({ op: 'echo', value: i }, patient));
  await Promise.resolve(); // the calls are made in their first turn
  const { sent, replicas } = pool.stats();
  assert.is(sent, 10_002);
  assert.equal(
    replicas.map(({ unfinished }) => unfinished),
    [5_001, 5_001],
  );
  assert.equal(
    await Promise.all(calls),
    calls.map((_, i) => i),
  );
  for (const pid of pids) await release(pid, 'gate');
  await Promise.all(gates);
});

test('an orderly stop answers the calls that run, and one that is forced rejects them', async () => {
  await using supervisor = await gated({ shutdown: 300 });
  await using pool = await balance(supervisor, 'pool');
  using folder = new Folder();
  const [first, second] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  const stuck = rejects(call(first, hold('for ever'), patient), 'ERR_REPLICA_DIED');
  const { blocked, end } = await block(folder, second);
  const queued = call(second, note('queued'), patient);
  const closed = supervisor.close();
  await rejects(pool.call(note('too late')), 'ERR_DISCONNECTED');
  await rejects(call(first, note('too late')), 'ERR_NO_SUCH_REPLICA');
  end();
  assert.is(await blocked, second);
  assert.is(await queued, second);
  assert.is((await stuck).signal, 'SIGKILL');
  await closed;
});

test('a replica that was asked to leave finishes its work and gets nothing new', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool', 1);
  const [leaver, stayer] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  const work = rejects(call(leaver, hold('work'), patient), 'ERR_REPLICA_DIED');
  await noted(leaver, 'start work');
  const down = downOf(supervisor, leaver);
  process.kill(leaver, 'SIGTERM');
  const isLeaving = (): boolean =>
    supervisor.children().some(({ pid, state }) => pid === leaver && state === 'stopping');
  await until(isLeaving, 'the replica to leave');
  for (let turns = 0; turns < 10; turns++) {
    assert.equal(pool.pids(), [stayer]);
    assert.is(pool.pid(), stayer);
    assert.is(await pool.call(note('called')), stayer);
    await turn();
  }
  await rejects(call(leaver, note('too late')), 'ERR_NO_SUCH_REPLICA');
  await ping(stayer);
  // Nothing can reach it any more but a signal: SIGKILL ends its work.
  process.kill(leaver, 'SIGKILL');
  await Promise.all([work, down]);
});

test('a closed pool refuses, and never reaches another pool that has its name', async () => {
  await using supervisor = await gated();
  const old = await balance(supervisor, 'pool');
  const replica = pidAt(old.pids(), 0);
  assert.ok((await attempt(replica, 'pid', 'pool')).value); // it knows the old one
  await old.close();
  await rejects(old.call(note('closed')), 'ERR_CLOSED');
  throws(() => old.cast(note('closed')), 'ERR_CLOSED');
  await using pool = await balance(supervisor, 'pool');
  await rejects(old.call(note('closed')), 'ERR_CLOSED');
  throws(() => old.cast(note('closed')), 'ERR_CLOSED');
  throws(() => old.pid(), 'ERR_CLOSED');
  await rejects(
    old.transaction(() => assert.unreachable()),
    'ERR_CLOSED',
  );
  assert.is(pool.stats().sent, 0);
  // The name means the new one at once, for a replica too.
  const outcome = await attempt(replica, 'pid', 'pool');
  assert.ok(pool.pids().includes(outcome.value as number), outcome.error?.message);
});

test('a call in flight outlives its pool', async () => {
  await using supervisor = await gated();
  const pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  const flying = call(replica, hold('direct'), patient);
  const others = pool.pids().map(() => pool.call(hold('of the pool'), patient));
  for (const pid of upPids(supervisor)) await noted(pid, 'start of the pool');
  await noted(replica, 'start direct');
  const state = watch(Promise.race([flying, ...others]));
  await pool.close();
  assert.not(state.settled);
  await release(replica, 'direct');
  for (const pid of upPids(supervisor)) await release(pid, 'of the pool');
  assert.is(await flying, replica);
  assert.equal((await Promise.all(others)).sort(), upPids(supervisor).sort());
});

test.run();
