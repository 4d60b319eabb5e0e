/** A ring that says what its pool, which alone may change it, knows to be untrue. */

import { type Balancer, balance, call, ping } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Segment } from '#src/memory/segment.js';
import { attempt, gated, hold, note, pidAt, release, Thread } from '../support/gate.js';
import { rejects, throws } from '../support/helpers.js';

/** The segment, which this process writes to as any replica could, and the pool's ring in it. */
function ringOf(pool: Balancer): { segment: Segment; ring: number } {
  const segment = Segment.require();
  return { segment, ring: segment.addon.findRing(pool.name) as number };
}

function forgedPause(pool: Balancer): () => void {
  const { segment, ring } = ringOf(pool);
  const word = segment.ringWord(ring, segment.addon.layout.ringWord);
  return () => void Atomics.or(segment.words, word, 1);
}

test('a forged pause ends no loop of the primary, and the pool takes it away', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const forge = forgedPause(pool);
  const brief = { timeout: 100 };
  const timer = setInterval(forge, 1); // as another process would, whenever the loop turns
  for (let i = 0; i < 50; i++) {
    forge();
    const outcomes = await Promise.allSettled([pool.transaction(() => i, brief), pool.map((pid) => pid)]);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') assert.match(outcome.reason.code, /^ERR_(TIMEOUT|PROTOCOL)$/);
  }
  clearInterval(timer);
  forge();
  assert.is(await pool.transaction(() => 'ran'), 'ran');
  forge();
  await rejects(pool.call(note('lost')), { code: 'ERR_PROTOCOL', message: /overwritten/ });
  assert.ok(pool.pids().includes((await pool.call(note('sent'))) as number));
  assert.is(await pool.applyWithin(() => 'ran', ping), 'ran');
});

test('a window stays closed where its ring is mended in it', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const { segment, ring } = ringOf(pool);
  await pool.applyWithin(() => {
    segment.addon.publish(ring, new Uint32Array([1, 1]));
    segment.addon.resume(ring); // the forged end of the window
    throws(() => pool.pid(), 'ERR_PROTOCOL');
    throws(() => pool.pid(), 'ERR_PAUSED');
  });
  assert.ok(pool.pids().includes(pool.pid()));
});

test('the primary hands out no pid but of its own replicas, whatever the table says', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const { segment, ring } = ringOf(pool);
  const known = new Set(pool.pids());
  for (const stranger of [0, 1, -1, process.pid, process.ppid, 2 ** 31 - 1]) {
    segment.addon.publish(ring, new Uint32Array([pidAt(pool.pids(), 0), 1, stranger, 2]));
    throws(() => pool.pid(), 'ERR_PROTOCOL');
    for (let i = 0; i < 9; i++) assert.ok(known.has(pool.pid())); // the table has been written anew
    segment.addon.publish(ring, new Uint32Array([stranger, 1]));
    await rejects(pool.call(note('lost')), 'ERR_PROTOCOL');
    await pool.call(note('sent'));
  }
  segment.addon.publish(ring, new Uint32Array(0));
  throws(() => pool.pid(), 'ERR_PROTOCOL');
  assert.ok(known.has(pool.pid()));
});

test('replicas and threads hand out no pid that process.kill would take for many processes, or for init', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  await using thread = await Thread.start();
  const { segment, ring } = ringOf(pool);
  const replica = pidAt(pool.pids(), 0);
  for (const pid of [0, 1, -1, -2, -replica]) {
    segment.addon.publish(ring, new Uint32Array([replica, 1, pid, 2]));
    for (const { error } of [await attempt(replica, 'pid', 'pool'), await thread.attempt('pid', 'pool')])
      assert.is(error?.code, 'ERR_PROTOCOL', `${pid} was handed out`);
  }
  throws(() => pool.pid(), 'ERR_PROTOCOL');
  assert.ok(pool.pids().includes((await attempt(replica, 'pid', 'pool')).value as number));
});

test('a queue that is full by what others have written is looked at again', async () => {
  await using supervisor = await gated();
  await using thread = await Thread.start();
  const { layout } = Segment.require().addon;
  for (const selection of ['round-robin', 'least-queue'] as const) {
    await using pool = await balance(supervisor, selection, { maxQueueLength: 2, selection });
    const { segment, ring } = ringOf(pool);
    // Before anything was handed out, a caller has no table yet, and the word may name just that one.
    segment.words[segment.ringWord(ring, layout.ringWord)] = layout.noKey;
    assert.is((await thread.attempt('pid', pool.name)).error?.code, 'ERR_PAUSED', 'as that word says');
    throws(() => pool.pid(), 'ERR_PROTOCOL');
    assert.ok(pool.pids().includes(pool.pid()));

    const fill = () => {
      for (let slot = 0; slot < layout.slotCount; slot++)
        if (pool.pids().includes(segment.words[segment.slotWord(slot, layout.slotPid)] as number))
          segment.words[segment.slotWord(slot, layout.slotUnfinished)] = 2 ** 31 - 1;
    };
    fill();
    throws(() => pool.pid(), 'ERR_PROTOCOL');
    assert.ok(pool.pids().includes(pool.pid()));
    fill();
    await rejects(pool.call(note('lost')), 'ERR_PROTOCOL');
    assert.ok(pool.pids().includes((await pool.call(note('sent'))) as number));

    const held = pool.pids().flatMap((pid) => ['one', 'two'].map((key) => call(pid, hold(key))));
    fill();
    throws(() => pool.pid(), 'ERR_OVERLOAD'); // as it is
    for (const pid of pool.pids()) for (const key of ['one', 'two']) await release(pid, key);
    await Promise.all(held);
    assert.ok(pool.pids().includes(pool.pid()));
  }
});

test('a replica can be started after the header was written over', async () => {
  await using supervisor = await gated();
  const { words } = Segment.require();
  words.fill(-1, 0, 16);
  await supervisor.resize(3);
  assert.is(supervisor.children().filter(({ state }) => state === 'up').length, 3);
});

test.run();
