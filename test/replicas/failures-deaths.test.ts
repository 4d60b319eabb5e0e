/** Each way in which a replica can die in the middle of its calls, and what becomes of them. */

import { type Balancer, balance, call, cast, pid as pidOf, ping, type Supervisor } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { begun, failing, killedUnseen, patient } from '../support/failing.js';
import { upPids, watch } from '../support/gate.js';
import { downOf, type Failure, rejects, tally, throws, times, until } from '../support/helpers.js';
import { Folder, isAlive, later, stateOf } from '../support/processes.js';

/** How a replica is to die, and as what the primary is to see it. */
interface Death {
  /** What it is sent; undefined: SIGKILL from outside. */
  readonly message?: object;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Of the uncaught error. */
  readonly error?: RegExp;
}

/**
 * One of two replicas dies while both run calls: what it had begun is rejected and says how it ended, what may run twice
 * goes to the other one, which notices nothing, and a replacement comes.
 */
async function diesInMidCall({ message, code, signal, error }: Death): Promise<void> {
  using folder = new Folder();
  await using supervisor = await failing(folder);
  await using pool = await balance(supervisor, 'pool', 0.1); // the replacement stays out
  const survivor = pool.pid();
  const victim = pool.pid(); // the next call is the survivor's, the one after it this one's
  const hold = { op: 'hold', key: 'one' };
  const calls = times(2, () => later(pool.call<number>(hold, patient)));
  const retried = times(2, () => later(pool.call<number>(hold, { ...patient, idempotent: true })));
  for (const pid of [victim, survivor]) await begun(folder, pid, 'one');
  const direct = later(call(victim, hold, patient));
  const pinged = later(ping(victim, patient));
  assert.equal(unfinished(pool).sort(), [2, 4]);
  const others = watch(Promise.race([calls[0], ...retried]));

  const down = downOf(supervisor, victim);
  const last = message === undefined ? undefined : later(call(victim, message, patient));
  if (message === undefined) process.kill(victim, 'SIGKILL');
  const seen = await down;
  for (const promise of [calls[1], direct, pinged, last]) {
    if (promise === undefined) continue;
    const failure = await rejects(promise, 'ERR_REPLICA_DIED');
    assert.equal([failure.pid, failure.exitCode, failure.signal], [victim, code, signal]);
    checkCause(failure, error);
  }
  assert.equal([seen.code, seen.signal, seen.restart], [code, signal, true]);
  checkCause({ cause: seen.error }, error);
  assert.is(isAlive(victim), false);
  assert.is(stateOf(victim), undefined, 'it was waited for');

  assert.equal([pool.pids(), unfinished(pool)], [[survivor], [3]]);
  assert.is(others.settled, false);
  await call(survivor, { op: 'open', key: 'one' });
  assert.equal(await Promise.all([calls[0], ...retried]), [survivor, survivor, survivor]);
  const { sent, redirected, malformed } = pool.stats();
  assert.equal({ sent, redirected, malformed }, { sent: 5, redirected: 1, malformed: 0 });
  await replaced(supervisor, pool);
}

function unfinished(pool: Balancer): number[] {
  return pool.stats().replicas.map((replica) => replica.unfinished);
}

function checkCause({ cause }: { cause?: unknown }, expected: RegExp | undefined): void {
  if (expected === undefined) return assert.is(cause, undefined);
  assert.is((cause as Failure).name, 'RangeError');
  assert.match((cause as Failure).message, expected);
}

/** Two replicas are there again, and both are called in turn. */
async function replaced(supervisor: Supervisor, pool: Balancer): Promise<void> {
  await until(() => upPids(supervisor).length === 2, 'the replacement');
  await pool.refresh();
  const pids = await Promise.all(times(10, () => pool.call<number>({ op: 'answer', file: 'answered' })));
  assert.equal(tally(pids), new Map(pool.pids().map((pid) => [pid, 5])));
}

test('SIGKILL in mid-call: what it ran is rejected and says so, and nothing else is lost', () =>
  diesInMidCall({ code: null, signal: 'SIGKILL' }));

test('exit(0) in mid-call: what it ran is rejected and says so, and nothing else is lost', () =>
  diesInMidCall({ message: { op: 'exit', code: 0 }, code: 0, signal: null }));

test('exit(1) in mid-call: what it ran is rejected and says so, and nothing else is lost', () =>
  diesInMidCall({ message: { op: 'exit', code: 1 }, code: 1, signal: null }));

test('abort() in mid-call: what it ran is rejected and says so, and nothing else is lost', () =>
  diesInMidCall({ message: { op: 'abort' }, code: null, signal: 'SIGABRT' }));

test('an uncaught throw in mid-call: what it ran is rejected with what was thrown, and nothing else is lost', () =>
  diesInMidCall({ message: { op: 'throw' }, code: 1, signal: null, error: /^thrown on purpose$/ }));

test('a death between pid() and the message: the caller is told, whether the primary knows of it or not', async () => {
  using folder = new Folder();
  await using supervisor = await failing(folder);
  await using pool = await balance(supervisor, 'pool', 1);
  const handled = { op: 'handled' };
  for (let round = 0; round < 3; round++) {
    const victim = pidOf('pool');
    const down = downOf(supervisor, victim);
    killedUnseen(victim);
    // The pool still has it in turn: half of these are for the dead.
    const untold = [call(victim, handled), ping(victim)].map(later);
    const pooled = times(10, () => later(pool.call<number>(handled)));
    cast(victim, handled); // nobody waits for a cast: it is lost, as in Erlang
    for (const promise of untold) {
      const failure = await rejects(promise, 'ERR_REPLICA_DIED');
      assert.equal([failure.pid, failure.signal], [victim, 'SIGKILL']);
    }
    assert.is((await down).pid, victim);
    assert.is((await Promise.all(pooled)).length, 10, 'what surely did not run goes to the next replica');
    assert.is(pool.stats().redirected, 5 * (round + 1));

    const told = [call(victim, handled), ping(victim)].map(later);
    for (const promise of told) assert.is((await rejects(promise, 'ERR_NO_SUCH_REPLICA')).pid, victim);
    throws(() => cast(victim, handled), 'ERR_NO_SUCH_REPLICA');
    await until(() => pool.pids().length === 2, 'the replacement');
  }
});

test.run();
