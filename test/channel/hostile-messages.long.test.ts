/**
 * Forged messages, very many, where what a replica has sent is handed over to the primary: batches where the channel in
 * shared memory does it, Node's own where Node does it, to all that listen there, node:cluster and node:child_process
 * included. The replicas are real, and honest.
 *
 * BALLERMANN_FORGED=1000000 is the long form; BALLERMANN_SEED repeats a run.
 */

import cluster from 'node:cluster';
import { setImmediate as turn } from 'node:timers/promises';
import { type Balancer, balance, call, cast, ping } from 'ballermann';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isToPrimary, PROTOCOL_VERSION } from '#src/channel/protocol.js';
import { converse, mutated, ofAnything, ofNode, Recorder, replayable, runs } from '../support/forging.js';
import { gated, note } from '../support/gate.js';
import { until } from '../support/helpers.js';
import { memory } from '../support/memory.js';

/** Messages in one turn of the event loop. */
const TURN = 1_000;

type Forged = { readonly batch: unknown } | { readonly ofNode: object };

/**
 * To go is a replica's right: these would take one after another away. (To a handle that is none Node answers that it has
 * got none, and ends a sender that has sent none.)
 */
function takesLeave(forged: Forged): boolean {
  if ('ofNode' in forged) return (forged.ofNode as { cmd?: unknown }).cmd === 'NODE_HANDLE';
  if (!Array.isArray(forged.batch)) return false;
  return forged.batch.some(
    (entry) =>
      isToPrimary(entry) && (entry[0] === 'leave' || (entry[0] === 'hello' && entry[1] !== PROTOCOL_VERSION)),
  );
}

/** What the primary must count, and what it may beside it: an answer to nothing is no misfit by its shape. */
function misfits(forged: Forged): { atLeast: number; more: number } {
  if ('ofNode' in forged) return { atLeast: 0, more: 1 };
  const { batch } = forged;
  if (!Array.isArray(batch)) return { atLeast: 1, more: 0 };
  const fitting = batch.filter(isToPrimary);
  const answers = fitting.filter(([tag]) => tag === 'result' || tag === 'failure');
  return {
    atLeast: batch.length - fitting.length,
    more: answers.reduce((sum, { length }) => sum + length, 0),
  };
}

async function siege(pool: Balancer, recorder: Recorder): Promise<void> {
  const { count, seed } = runs(25_000);
  const real = [...(recorder.batches.splice(0) as unknown[][]), [['cancel', 1], ['alive']]];
  const workers = Object.values(cluster.workers ?? {}).map((worker) => worker?.process);
  const asBatch = (batch: unknown): Forged => ({ batch });
  const forged: fc.Arbitrary<Forged> = fc
    .oneof(
      { weight: 8, arbitrary: mutated(real).map(asBatch) },
      // A text is parsed first: one that is no JSON would end its sender.
      { weight: 1, arbitrary: ofAnything.filter((value) => typeof value !== 'string').map(asBatch) },
      { weight: 1, arbitrary: ofNode.map((message): Forged => ({ ofNode: message })) },
    )
    .filter((each) => !takesLeave(each));
  let known = pool.stats().malformed;
  const property = fc.property(forged, fc.nat(workers.length - 1), (message, sender) => {
    const { atLeast, more } = misfits(message);
    if ('batch' in message) recorder.takes[sender]?.(message.batch);
    else workers[sender]?.emit('internalMessage' as 'message', message.ofNode as never, undefined as never);
    recorder.batches.length = 0;
    const counted = pool.stats().malformed - known;
    known += counted;
    assert.ok(
      counted >= atLeast && counted <= atLeast + more,
      `${counted}, not ${atLeast} to ${atLeast + more}`,
    );
    assert.is(Object.hasOwn(Object.prototype, 'polluted'), false);
  });
  let afterSome = 0;
  await replayable(seed, async () => {
    for (let done = 0; done < count; done += TURN) {
      known = pool.stats().malformed; // the replicas have answered what was sent in their names
      fc.assert(property, { numRuns: Math.min(TURN, count - done), seed: seed + done });
      await turn();
      if (done < count / 2) afterSome = memory().heap;
    }
  });
  await until(
    () => pool.stats().replicas.every(({ unfinished }) => unfinished === 0),
    'an end of all requests',
  );
  const grown = (memory().heap - afterSome) / 2 ** 20;
  assert.ok(grown < 16, `${grown.toFixed(1)} MiB more after the second half`);
}

test('a replica that sends anything at all neither ends, pollutes nor fills the primary, and is counted', async () => {
  const uncaught: unknown[] = [];
  const noteUncaught = (error: unknown): void => void uncaught.push(error);
  process.on('uncaughtException', noteUncaught);
  try {
    using recorder = new Recorder();
    await using supervisor = await gated();
    await using pool = await balance(supervisor, 'pool');
    const pids = pool.pids();
    await converse(pool);
    await siege(pool, recorder);
    assert.equal(uncaught, []);
    assert.equal(pool.pids(), pids, 'nobody has gone');
    for (const pid of pids) {
      cast(pid, note('cast'));
      assert.equal(await call(pid, { op: 'echo', value: [pid] }), [pid]);
      await ping(pid);
    }
    assert.equal(Object.keys(Object.prototype), []);
  } finally {
    process.off('uncaughtException', noteUncaught);
  }
});

test.run();
