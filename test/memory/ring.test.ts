/** The rotation in shared memory, by the addon alone: no process is forked here. */

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Addon, addon, Claimed } from '#src/memory/addon.js';
import { Ring } from '#src/memory/ring.js';
import { Rotation } from '#src/memory/rotation.js';
import { Segment } from '#src/memory/segment.js';
import { Thread, tally, throws, times, until } from '../support/helpers.js';

const native = addon();
const { layout } = native;
native.createSegment();
const segment = Segment.require();
const unsigned = new Uint32Array(segment.buffer);

test.after.each(() => {
  for (let ring = 0; ring < layout.poolCount; ring++) if (isOpen(ring)) native.closeRing(ring);
});

function isOpen(ring: number): boolean {
  return ((unsigned[segment.ringWord(ring, layout.ringEpoch)] ?? 0) & 1) === 1;
}

function open(name: string, maxQueue = 0xffff_ffff): number {
  const ring = native.openRing(name, maxQueue, false);
  if (ring === undefined) throw new Error('the segment is full');
  return ring;
}

/** Pids 1000, 1001 … in slots 1, 2 … */
function publish(ring: number, count: number, firstPid = 1000): void {
  native.publish(ring, new Uint32Array(times(count, () => 0).flatMap((_, i) => [firstPid + i, 1 + i])));
}

function setTicket(ring: number, ticket: number): void {
  unsigned[segment.ringWord(ring, layout.ringWord) + 1] = ticket;
}

function newBlock(): Int32Array {
  const block = new Int32Array(layout.rotationBytes / 4);
  block[layout.rotationKey / 4] = layout.noKey;
  return block;
}

/** Claims into `block`, and spends all of it. */
function claim(ring: number, wanted: number, block = newBlock()) {
  const status = native.claim(ring, wanted, block);
  const field = (offset: number) => block[offset / 4] as number;
  const [first, left, count] = [
    field(layout.rotationFirst),
    field(layout.rotationLeft),
    field(layout.rotationCount),
  ];
  const pids =
    status === Claimed.tickets
      ? times(left, () => 0).map((_, i) => field(layout.rotationPids + 4 * ((first + i) % count)))
      : [];
  return { status, first, left, count, pids };
}

/** A caller as the package makes it; `refuse` throws the reason as an error's code. */
function caller(ring: number, seen: Segment = segment): Rotation {
  return new Rotation(seen, ring, (why) => {
    throw Object.assign(new Error(why), { code: why });
  });
}

test('the layout fits together: sizes, alignment, no overlap', () => {
  const line = 64;
  assert.is(segment.buffer.byteLength, layout.segmentBytes);
  assert.ok(segment.buffer instanceof SharedArrayBuffer);
  assert.ok(layout.maxReplicas >= 1024 && layout.poolCount >= 64);
  assert.is(layout.slotCount, layout.maxReplicas + 1, 'a slot for the primary too');
  for (const bytes of [layout.slots, layout.slotBytes, layout.rings, layout.ringBytes])
    assert.is(bytes % line, 0);
  assert.ok(layout.slots >= 40, 'the header comes first');
  assert.ok(layout.rings >= layout.slots + layout.slotCount * layout.slotBytes);
  assert.ok(layout.listeners >= layout.rings + layout.poolCount * layout.ringBytes);
  assert.is(layout.listeners + layout.listenerCount * layout.listenerBytes, layout.segmentBytes);
  assert.ok(layout.listenerBytes >= layout.listenerAccepted + 4 * layout.slotCount);

  const { slotPid, slotIncarnation, slotUnfinished, slotState, slotWindows, slotBlockedAfter, slotMaxQueue } =
    layout;
  const {
    slotTaken,
    slotRequests,
    slotBegun,
    slotRss,
    slotLoopClock,
    slotLoopIdle,
    slotAccepted,
    slotRunning,
  } = layout;
  apart(layout.slotBytes, [
    [slotPid, 4],
    [slotIncarnation, 4],
    [slotUnfinished, 4],
    [slotState, 4],
    [slotWindows, 4],
    [slotBlockedAfter, 4],
    [slotMaxQueue, 4],
    [slotTaken, 4],
    [slotRequests, 4],
    [slotBegun, 4],
    [slotRss, 4],
    [slotLoopClock, 8],
    [slotLoopIdle, 8],
    [slotAccepted, 4],
    [slotRunning, 4 * layout.poolCount],
  ]);
  const lines = (fields: number[]) => new Set(fields.map((offset) => Math.floor(offset / line)));
  const ofPrimary = lines([
    slotPid,
    slotIncarnation,
    slotUnfinished,
    slotState,
    slotWindows,
    slotBlockedAfter,
    slotMaxQueue,
  ]);
  for (const ofReplica of lines([
    slotTaken,
    slotRequests,
    slotLoopClock,
    slotLoopIdle,
    slotAccepted,
    slotRunning,
  ]))
    assert.not.ok(ofPrimary.has(ofReplica), 'a cache line has one writer');

  const { ringWord, ringWrapped, ringEpoch, ringCallers, ringMaxQueue } = layout;
  apart(layout.ringBytes, [
    [ringWord, 8],
    [ringWrapped, 8],
    [ringEpoch, 4],
    [ringCallers, 4],
    [ringMaxQueue, 4],
  ]);
  assert.not.ok(lines([ringEpoch, ringMaxQueue]).has(Math.floor(ringWord / line)));

  apart(layout.rotationBytes, [
    [layout.rotationKey, 4],
    [layout.rotationCount, 4],
    [layout.rotationFirst, 4],
    [layout.rotationLeft, 4],
    [layout.rotationPids, 4 * layout.maxReplicas],
    [layout.rotationSlots, 4 * layout.maxReplicas],
  ]);
  assert.is(layout.noKey & 1, 1, 'the key of no table looks paused');
});

/** The fields, [offset, bytes], are aligned, do not overlap, and lie within `total` bytes. */
function apart(total: number, fields: [number, number][]): void {
  let end = 0;
  for (const [offset, bytes] of fields.sort(([a], [b]) => a - b)) {
    assert.is((offset % Math.min(bytes, 8)) % 4, 0);
    if (bytes === 8) assert.is(offset % 8, 0);
    assert.ok(offset >= end, `the field at ${offset} overlaps one that ends at ${end}`);
    end = offset + bytes;
  }
  assert.ok(end <= total);
}

test('the header says what it is, in which version and size', () => {
  assert.is(Buffer.from(segment.buffer, 0, 4).toString(), 'BALL');
  assert.is(unsigned[1], layout.version);
  const header = unsigned.slice(0, layout.slots / 4);
  for (const size of [layout.slotBytes, layout.ringBytes, layout.nameBytes, layout.segmentBytes])
    assert.ok(header.includes(size), `${size} is in the header`);
});

test('a claim takes whole rotations, as many as fit and at least one', () => {
  const ring = open('claims');
  publish(ring, 3);
  assert.is(claim(ring, 1024).left, 1023);
  assert.is(claim(ring, 3).left, 3);
  assert.is(claim(ring, 2).left, 3);
  assert.is(claim(ring, 0).left, 3);
  publish(ring, 1000);
  assert.is(claim(ring, 1024).left, 1000);
  assert.is(claim(ring, 10).left, 1000);
});

for (const count of [1, 2, 3, 7, 1000]) {
  test(`claims tile a rotation of ${count} where the ticket wraps`, () => {
    const ring = open('wrap');
    publish(ring, count);
    for (const below of [1, 2, 3, 4, 7, 8, 999, 1000, 1001, 1024, 1025, 2047, 2500]) {
      setTicket(ring, 2 ** 32 - below);
      const taken: number[] = [];
      while (taken.length < below + 3 * 1024) taken.push(...claim(ring, 1024).pids);
      assert.ok(native.ticket(ring) < 2 ** 31, 'the ticket has wrapped');
      assert.is(new Set(taken.slice(0, count)).size, count);
      for (let i = count; i < taken.length; i++) {
        if (taken[i] !== taken[i - count])
          assert.unreachable(`drift at ${i} of ${taken.length}, ${below} below the wrap`);
      }
    }
  });
}

for (const count of [1, 3, 1000]) {
  test(`all hand-outs are counted, over wraps and generations: rotations of ${count}`, () => {
    const ring = new Ring(segment, 'hand-outs', Number.POSITIVE_INFINITY);
    const members = times(count, () => 0).map((_, i) => ({ pid: 1000 + i, slot: 1 + i }));
    ring.publish(members);
    assert.is(ring.handOuts(), 0);
    let taken = 0;
    const take = (wanted: number): void => {
      taken += claim(ring.index, wanted).left;
      assert.is(ring.handOuts() - before, taken);
    };
    setTicket(ring.index, 2 ** 32 - 2_500);
    const before = ring.handOuts();
    for (let i = 0; i < 10; i++) take(1024);
    assert.ok(native.ticket(ring.index) < 2 ** 31, 'the ticket has wrapped');
    ring.publish(members.slice(0, 1));
    for (let i = 0; i < 3; i++) take(100);
    ring.pause();
    ring.publish(members);
    assert.is(ring.handOuts() - before, taken, 'nothing is handed out by a change of the table, or a pause');
    ring.resume();
    take(1);
    ring.close();

    const next = new Ring(segment, 'the next', Number.POSITIVE_INFINITY);
    assert.is(next.index, ring.index);
    next.publish(members);
    assert.is(next.handOuts(), 0, 'what the last pool of the ring has handed out is not its own');
  });
}

test('blocks of several callers tile one rotation', () => {
  const ring = open('callers');
  publish(ring, 7);
  const callers = times(5, newBlock);
  const claims = times(40, () => 0).map((_, i) => claim(ring, 50 + i, callers[i % 5]));
  for (const [i, { first, left }] of claims.entries()) {
    const next = claims[i + 1];
    if (next) assert.is(next.first, (first + left) % 7);
  }
});

/** The tables that come one after another, again and again; `taken` hand-outs before each change. */
const changes: { sizes: number[]; taken: number }[] = [
  { sizes: [3], taken: 1 },
  { sizes: [7], taken: 3 },
  { sizes: [8], taken: 1 },
  { sizes: [4, 3], taken: 1 },
  { sizes: [10, 9], taken: 1 },
  { sizes: [10, 9, 8], taken: 4 },
];
for (const { sizes, taken } of changes) {
  test(`what blocks leave unspent favours nobody: tables of ${sizes.join(', ')}, ${taken} taken of each`, () => {
    const ring = open('unspent');
    const rotation = caller(ring);
    const rounds = 8_000;
    const handedOut = sizes.map(() => [] as number[]);
    for (let round = 0; round < rounds; round++) {
      for (const [which, size] of sizes.entries()) {
        publish(ring, size);
        for (let i = 0; i < taken; i++) handedOut[which]?.push(rotation.next());
      }
    }
    for (const [which, size] of sizes.entries()) {
      const counts = tally(handedOut[which] ?? []);
      const share = (rounds * taken) / size;
      // Even a fair random start would differ by a few per cent.
      for (const [pid, count] of counts)
        assert.ok(
          Math.abs(count - share) < 0.15 * share,
          `of ${size}: slot ${pid - 999} got ${count}, a fair share is ${share}`,
        );
      assert.is(counts.size, size);
    }
  });
}

test('a paused ring refuses, an empty one too, and neither loses a ticket', () => {
  const ring = open('refusals');
  assert.is(claim(ring, 10).status, Claimed.empty);
  native.pause(ring);
  assert.is(claim(ring, 10).status, Claimed.paused);
  publish(ring, 3);
  assert.is(claim(ring, 10).status, Claimed.paused, 'publishing does not resume');
  const ticket = native.ticket(ring);
  native.resume(ring);
  assert.is(native.ticket(ring), ticket);
  assert.equal(claim(ring, 3).pids.sort(), [1000, 1001, 1002]);
});

test('a ring that is overwritten all the time is given up, not waited for', () => {
  const ring = open('spoiled');
  // The copied pid lies over the ring's word: each look at one table changes the word to the other's key.
  publish(ring, 1, 0b1000);
  publish(ring, 1, 0b1010);
  publish(ring, 1, 0b1000);
  const key = unsigned[segment.ringWord(ring, layout.ringWord)] ?? 0;
  if (((key >> 1) & 1) === 0) publish(ring, 1, 0b1010);
  const over = layout.rings + ring * layout.ringBytes + layout.ringWord - layout.rotationPids;
  const block = new Int32Array(segment.buffer, over, layout.rotationBytes / 4);
  assert.is(native.claim(ring, 1, block), Claimed.contended);
});

test('callers of a closed ring learn it, and never see the pool that has it next', () => {
  const ring = open('first');
  publish(ring, 3);
  const unspent = caller(ring);
  const unused = caller(ring);
  unspent.next();
  native.closeRing(ring);
  throws(() => unspent.next(), 'closed');
  assert.is(native.findRing('first'), undefined);

  assert.is(open('second'), ring, 'the ring is used again');
  publish(ring, 3, 2000);
  throws(() => unspent.next(), 'closed');
  throws(() => unspent.next(), 'closed');
  throws(() => unused.next(), 'closed');
  assert.is(native.findRing('second'), ring);
  assert.ok(caller(ring).next() >= 2000);
});

test('a ring that changes hands during a claim is refused as well', () => {
  const ring = open('before');
  publish(ring, 3);
  const slow: Addon = {
    ...native,
    claim(...args) {
      native.closeRing(ring);
      open('after');
      publish(ring, 3, 2000);
      return native.claim(...args);
    },
  };
  const late = caller(
    ring,
    Object.create(segment, { addon: { value: slow }, slotWord: { value: segment.slotWord.bind(segment) } }),
  );
  throws(() => late.next(), 'closed');
});

test('names: up to the limit in bytes of UTF-8, and told apart by every byte', () => {
  const longest = 'x'.repeat(layout.nameBytes);
  const umlauts = 'ü'.repeat(layout.nameBytes / 2);
  const rings = [longest, longest.slice(1), umlauts, 'a', 'a\0', 'A', 'b'].map((name) => [name, open(name)]);
  for (const [name, ring] of rings) assert.is(native.findRing(name as string), ring);
  assert.is(new Set(rings.map(([, ring]) => ring)).size, rings.length);
  assert.is(native.findRing('nobody'), undefined);
  assert.throws(() => native.openRing(`${longest}x`, 1, false), RangeError);
  assert.throws(() => native.openRing(`${umlauts}ü`, 1, false), RangeError);
});

test('there is room for every pool and no more; a closed one makes room', () => {
  const rings = times(layout.poolCount, () => 0).map((_, i) => new Ring(segment, `pool ${i}`, 1));
  assert.is(new Set(rings.map(({ index }) => index)).size, layout.poolCount);
  throws(() => new Ring(segment, 'one more', 1), {
    code: 'ERR_SEGMENT_FULL',
    message: /one more.*64/,
  });
  rings[17]?.close();
  assert.is(new Ring(segment, 'one more', 1).index, rings[17]?.index);
});

test('a table takes every replica that the segment holds, and not one more', () => {
  const ring = open('full');
  publish(ring, layout.maxReplicas);
  const { pids } = claim(ring, 1);
  assert.is(new Set(pids).size, layout.maxReplicas);
  assert.throws(() => publish(ring, layout.maxReplicas + 1), RangeError);
  assert.is(claim(ring, 1).count, layout.maxReplicas, 'the table is as it was');
  assert.throws(() => native.claim(layout.poolCount, 1, newBlock()), RangeError);
  assert.throws(() => native.claim(ring, 1, new Int32Array(4)), RangeError);
});

test('transactions are counted by pool, and none starts in a paused one', () => {
  const [one, other] = [open('one'), open('other')];
  assert.ok(native.enter(one));
  assert.ok(native.enter(one));
  assert.is(native.runningIn(one), 2);
  assert.is(native.runningIn(other), 0);
  native.pause(one);
  assert.not.ok(native.enter(one));
  assert.is(native.runningIn(one), 2);
  native.leave(one);
  native.leave(one);
  assert.is(native.runningIn(one), 0);
  assert.throws(() => native.leave(one), /leave without enter/);
});

test('whatever is done to a ring, the claims of one generation are exactly even', () => {
  const action = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('claim' as const), wanted: fc.nat(3000) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('publish' as const), count: fc.nat(12) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('pause' as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('resume' as const) }) },
  );
  const callers = fc.nat(2);
  fc.assert(
    fc.property(
      fc.integer({ min: 2 ** 32 - 4000, max: 2 ** 32 - 1 }),
      fc.array(fc.tuple(action, callers), { maxLength: 60 }),
      (ticket, actions) => {
        const ring = open('property');
        try {
          setTicket(ring, ticket);
          const blocks = times(3, newBlock);
          let published = 0;
          let isPaused = false;
          let counts = new Map<number, number>();
          let next: number | undefined;
          for (const [taken, [step, who]] of actions.entries()) {
            if (step.do === 'publish') {
              published = step.count;
              publish(ring, published, 1000 * (taken + 1));
              counts = new Map();
              next = undefined;
            } else if (step.do === 'claim') {
              const { status, pids, first, left, count } = claim(ring, step.wanted, blocks[who]);
              const expected = isPaused ? Claimed.paused : published === 0 ? Claimed.empty : Claimed.tickets;
              assert.is(status, expected);
              if (status !== Claimed.tickets) continue;
              assert.is(count, published);
              assert.is(left, Math.max(1, Math.floor(step.wanted / count)) * count);
              if (next !== undefined) assert.is(first, next, 'claims tile the rotation');
              next = (first + left) % count;
              for (const pid of pids) counts.set(pid, (counts.get(pid) ?? 0) + 1);
              assert.is(counts.size, count, 'the pids are of the published table');
              assert.is(new Set(counts.values()).size, 1, 'each pid exactly as often');
            } else {
              isPaused = step.do === 'pause';
              if (isPaused) native.pause(ring);
              else native.resume(ring);
            }
          }
        } finally {
          native.closeRing(ring);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('a worker thread sees the same memory by postMessage', async () => {
  const ring = open('posted');
  const index = segment.slotWord(layout.slotCount - 1, layout.slotRunning);
  const words = new Int32Array(segment.buffer);
  await using thread = new Thread();
  words[index] = 42;
  assert.is(await thread.ask({ op: 'memory', words, index }), 42);
  assert.is(words[index + 1], 4711);
  words.fill(0, index, index + 2);

  publish(ring, 3);
  assert.equal(
    (await thread.ask<number[]>({ op: 'pid', pool: 'posted', count: 3 })).sort(),
    [1000, 1001, 1002],
  );
});

test('a thread in a busy loop of pid() notices a pause', async () => {
  const ring = open('busy');
  publish(ring, 3);
  await using thread = new Thread();
  await thread.ask({ op: 'loop', pool: 'busy', count: 20_000_000 }); // compiled and optimised from here on
  const before = native.ticket(ring);
  const refused = thread.ask({ op: 'loop', pool: 'busy' });
  await until(() => native.ticket(ring) - before > 1_000_000, 'the thread is in its loop');
  native.pause(ring);
  assert.is(await refused, 'ERR_PAUSED');
});

test.run();
