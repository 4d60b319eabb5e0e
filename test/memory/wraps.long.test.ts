/** Counts that pass 2^32: each is set to just below before the work begins. */

import { balance, call, type RecycleEvent, supervise } from 'ballermann';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { eachOf, isToPrimary, isToReplica, join, type ToReplica } from '#src/channel/protocol.js';
import { isAtMost, LongCount } from '#src/memory/counts.js';
import { replicaOf } from '#src/primary/replicas/registry.js';
import { ownSegment } from '#src/primary/replicas/slots.js';
import { tapped } from '../support/forging.js';
import { pidAt, upPids } from '../support/gate.js';
import {
  fixture,
  killed,
  next,
  rejects,
  start,
  Thread,
  tally,
  throws,
  times,
  until,
} from '../support/helpers.js';
import { listeners, portOfAll, spreadEvenly } from '../support/listening.js';
import { later } from '../support/processes.js';

const { segment } = ownSegment();
const { words } = segment;
const { layout } = segment.addon;
const unsigned = new Uint32Array(segment.buffer);

/** Where a word of that replica's slot is. */
function wordOf(pid: number, field: 'slotTaken' | 'slotBegun'): number {
  return segment.slotWord(replicaOf(pid).slot, layout[field]);
}

/** What the next pool finds in the ring that it gets: the first, which is free. */
function setRing(field: 'ringEpoch' | 'ringWord' | 'ringCallers', value: number): void {
  unsigned[segment.ringWord(0, layout[field])] = value;
}

function ringWord(field: 'ringEpoch' | 'ringWord' | 'ringCallers'): number {
  return unsigned[segment.ringWord(0, layout[field])] as number;
}

test('which of two counts is the later one does not depend on the wrap', () => {
  const around = (count: number): fc.Arbitrary<number> => fc.integer({ min: count - 100, max: count + 100 });
  const largest = Number.MAX_SAFE_INTEGER;
  fc.assert(
    fc.property(
      fc.oneof(
        fc.nat(100),
        around(2 ** 32),
        fc.maxSafeNat(),
        fc.integer({ min: largest - 100, max: largest }),
      ),
      fc.oneof(around(0), fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 })),
      (count, later) => {
        const word = Number(BigInt.asIntN(32, BigInt(count) + BigInt(later)));
        assert.is(isAtMost(count, word), later >= 0);
        assert.is(isAtMost(count | 0, word >>> 0), later >= 0, 'signed or not');
      },
    ),
    { numRuns: 1_000 },
  );
});

test('a long count goes on where the count begins again, and takes no step back for progress', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -1_000, max: 2 ** 31 - 1 }), { maxLength: 20 }), (steps) => {
      const long = new LongCount();
      let count = 0;
      let expected = 0;
      for (const step of steps) {
        count += step;
        expected += Math.max(0, step);
        assert.is(long.look(count | 0), expected);
        assert.is(long.look(count | 0), expected, 'looking changes nothing');
      }
    }),
  );
});

test('messages taken: whatever was begun when a replica dies is told from the rest across 2^32', async () => {
  await using supervisor = await start({ exec: fixture('wraps.mjs'), replicas: 1, intensity: 100 });
  await using pool = await balance(supervisor, 'taken');
  const begun = 4;
  let taken = 0; // by the replica that is there
  for (const below of [0, 1, 3, 4, 5, 7]) {
    await until(() => pool.pids().length === 1, 'a replica');
    const pid = pidAt(pool.pids(), 0);
    // The two ends count for themselves, each from 0: so both are told to be further.
    const { inFlight } = replicaOf(pid);
    let departed = 2 ** 32 - below;
    inFlight.nextSequence = () => ++departed;
    const base = -below - taken;
    const message = (op: string) => ({ op, base });
    const held = times(begun - 1, () => later(pool.call(message('hold'))));
    held.push(later(pool.call(message('block'))));
    const waiting = times(3, () => later(pool.call<number>(message('who'))));
    await until(() => words[wordOf(pid, 'slotTaken')] === begun - below, `${begun} to be begun`);
    await until(() => inFlight.size === begun + 3, 'all to be sent');
    await killed(supervisor, pid);
    for (const promise of held) await rejects(promise, 'ERR_REPLICA_DIED');
    const answers = new Set(await Promise.all(waiting));
    assert.equal([...answers], pool.pids(), `${below} below`);
    taken = waiting.length;
  }
});

test('calls and requests beyond 2^32 count for maxRequests', async () => {
  const maxRequests = 2 ** 33;
  await using supervisor = await supervise({ exec: fixture('wraps.mjs'), replicas: 1, maxRequests });
  const pid = pidAt(upPids(supervisor), 0);
  const replica = replicaOf(pid);
  const most = 2 ** 31 - 1;
  const count = (field: 'slotTaken' | 'slotBegun', steps: number): number => {
    words[wordOf(pid, field)] = ((words[wordOf(pid, field)] as number) + steps) | 0;
    return replica.served;
  };
  const recycled = next<[RecycleEvent]>(supervisor, 'recycle');
  assert.is(count('slotTaken', most), most);
  assert.is(count('slotBegun', most), 2 * most);
  assert.is(count('slotTaken', most), 3 * most);
  // Of these neither count shows: both have wrapped.
  assert.is(count('slotTaken', 5), 3 * most + 5);
  assert.is(count('slotBegun', most), 4 * most + 5);
  assert.is(count('slotBegun', 5), 4 * most + 10);
  const [event] = await recycled;
  assert.equal(event, { id: 0, pid, incarnation: 1, reason: 'maxRequests', value: 4 * most + 10 });
});

test('a pool whose generation, callers and epoch wrap hands out in turn, takes deaths and windows, and closes', async () => {
  await using supervisor = await start({ replicas: 3, intensity: 100 });
  setRing('ringEpoch', 0xffff_fffe);
  setRing('ringWord', 0xffff_fff4);
  const pool = await balance(supervisor, 'wraps', 1);
  assert.is(ringWord('ringEpoch'), 0xffff_ffff);
  assert.ok(ringWord('ringWord') > 0xffff_fff0, 'just below');
  setRing('ringCallers', 0xffff_fffe);
  await using thread = new Thread();
  await using another = new Thread();
  let dead: number[] = [];
  const areEven = async (): Promise<void> => {
    const pids = pool.pids();
    for (const handedOut of [
      times(300, () => pool.pid()),
      ...(await Promise.all(
        [thread, another].map((each) => each.ask<number[]>({ op: 'pid', pool: 'wraps', count: 300 })),
      )),
      await call<number[]>(pids[0] as number, { op: 'pid', pool: 'wraps', count: 300 }),
    ])
      assert.equal(tally(handedOut), new Map(handedOut.slice(0, 3).map((pid) => [pid, 100])));
    assert.not.ok(dead.some((pid) => pids.includes(pid)));
  };
  await areEven();
  assert.ok(ringWord('ringCallers') < 0xffff, 'they have wrapped');
  for (let kills = 0; ringWord('ringWord') > 0xffff && kills < 20; kills++) {
    const victim = pool.pids()[0] as number;
    await killed(supervisor, victim);
    dead = [...dead, victim];
    await until(() => pool.pids().length === 3, 'the next one to be in rotation');
    await pool.applyWithin(async () => {
      throws(() => pool.pid(), 'ERR_PAUSED');
      await rejects(thread.ask({ op: 'pid', pool: 'wraps', count: 1 }), 'ERR_PAUSED');
    });
    await areEven();
  }
  assert.ok(ringWord('ringWord') <= 0xffff, 'the generation has wrapped');

  await pool.close();
  assert.is(ringWord('ringEpoch'), 0);
  await rejects(thread.ask({ op: 'pid', pool: 'wraps', count: 1 }), 'ERR_NO_SUCH_POOL');
  await using again = await balance(supervisor, 'wraps');
  assert.is(ringWord('ringEpoch'), 1);
  assert.equal(
    (await thread.ask<number[]>({ op: 'pid', pool: 'wraps', count: 3 })).sort(),
    again.pids().sort(),
  );
});

test('connections are spread evenly where the counts of accepted ones wrap', async () => {
  await using supervisor = await listeners();
  const port = await portOfAll(supervisor);
  const accepted = upPids(supervisor).map((pid) => segment.acceptedWord(0, replicaOf(pid).slot));
  for (const word of accepted) assert.is.not(words[word], 0, 'it listens');
  for (const word of accepted) unsigned[word] = 2 ** 32 - 20;
  await spreadEvenly(supervisor, port, { count: 200, lead: 20, together: 1 });
  for (const word of accepted) assert.ok((unsigned[word] as number) < 1_000, 'it has wrapped');
});

test('ids of messages go on beyond 2^32', async () => {
  const first = 2 ** 32 - 2;
  const calls = times(4, () => 0).map((_, i): ToReplica => ['call', first + i, `call ${i}`]);
  const [run, ...others] = calls as [ToReplica, ...ToReplica[]];
  for (const entry of others) assert.ok(join(run, entry), 'they are one run');
  assert.ok(isToReplica(run));
  const seen: unknown[] = [];
  eachOf(run as readonly ['call', number, ...unknown[]], (...message) => seen.push(message));
  assert.equal(
    seen,
    times(4, () => 0).map((_, i) => ['call', first + i, `call ${i}`]),
  );
  assert.ok(isToPrimary(['result', 2 ** 32 + 1, 'reply']));

  await using supervisor = await start({ exec: fixture('wraps.mjs'), env: tapped });
  const [asker, target] = upPids(supervisor);
  const ids = times(4, () => 0).map((_, i) => first + i);
  const answered = await call<number[]>(asker as number, { op: 'request', ids, target });
  assert.equal(
    answered.sort((a, b) => a - b),
    ids,
  );
});

test.run();
