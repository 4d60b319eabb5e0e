/** The segment: who may attach to it, and how much it holds. */

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Balancer, balance, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addon } from '#src/memory/addon.js';
import { ownSegment } from '#src/primary/replicas/slots.js';
import { fixture, rejects, start } from '../support/helpers.js';

const MAGIC = 0x4c4c4142;

/** What a process of its own says when it attaches to a file with these first words and this length. */
async function attachTo(words: readonly number[], length: number, slot = 1): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'segment-'));
  const file = join(folder, 'segment');
  const bytes = Buffer.alloc(length);
  words.forEach((word, i) => {
    if (4 * i + 4 <= length) bytes.writeUInt32LE(word, 4 * i);
  });
  writeFileSync(file, bytes);
  const script = `
    import { openSync } from 'node:fs';
    import { attachSegment } from '#src/memory/segment.js';
    try {
      attachSegment(openSync(${JSON.stringify(file)}, 'r+'), ${slot});
      console.log('attached');
    } catch (error) {
      console.log(error.code, error.message);
    }`;
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    return stdout.trim();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The header that this build writes. */
function header(): number[] {
  const { segment } = ownSegment();
  return Array.from(segment.words.subarray(0, 12));
}

const { segmentBytes, version } = addon().layout;

test('a segment of the same layout is attached to', async () => {
  assert.is(await attachTo(header(), segmentBytes), 'attached');
});

test('a segment of another layout version is refused, and the error names both', async () => {
  const [, , ...rest] = header();
  const said = await attachTo([MAGIC, 77, ...rest], segmentBytes);
  assert.match(said, /^ERR_PROTOCOL /);
  assert.match(said, /layout version 77 /);
  assert.match(said, new RegExp(`needs layout version ${version} `));
});

test('every size in the header is checked', async () => {
  const right = header();
  for (let word = 2; word < right.length - 1; word++) {
    const wrong = right.map((value, i) => (i === word ? value + 1 : value));
    assert.match(await attachTo(wrong, segmentBytes), /^ERR_PROTOCOL /, `word ${word}`);
  }
});

test('what is no segment, or less than its header says, is refused', async () => {
  assert.match(await attachTo([1, 2, 3], segmentBytes), /^ERR_PROTOCOL .*not a ballermann segment/);
  assert.match(await attachTo(header(), 0), /^ERR_PROTOCOL /);
  assert.match(await attachTo(header(), 64), /^ERR_PROTOCOL /);
  assert.match(await attachTo(header(), segmentBytes - 1), /^ERR_PROTOCOL /);
});

test('a slot outside the segment is refused', async () => {
  const { slotCount } = addon().layout;
  assert.match(await attachTo(header(), segmentBytes, slotCount), /^ERR_PROTOCOL .*slot 1025/);
});

test('more replicas than there are free slots: ERR_SEGMENT_FULL at once, and nobody is forked', async () => {
  const { maxReplicas } = addon().layout;
  await using supervisor = await start({ replicas: 1 });
  await rejects(supervise({ exec: fixture('echo.mjs'), replicas: maxReplicas }), 'ERR_SEGMENT_FULL');
  await rejects(supervisor.resize(maxReplicas + 1), 'ERR_OUT_OF_RANGE');
  assert.is(supervisor.children().length, 1);
  // The slots that were not taken are still free.
  await supervisor.resize(2);
  assert.is(supervisor.children().length, 2);
});

test('64 pools, then ERR_SEGMENT_FULL; a closed one makes room', async () => {
  const { poolCount } = addon().layout;
  await using supervisor = await start({ replicas: 1 });
  const pools: Balancer[] = [];
  for (let i = 0; i < poolCount; i++) pools.push(await balance(supervisor, `pool ${i}`));
  await rejects(balance(supervisor, 'one more'), 'ERR_SEGMENT_FULL');
  await pools[7]?.close();
  const late = await balance(supervisor, 'one more');
  assert.is(late.pid(), pools[8]?.pid());
  for (const pool of [...pools, late]) await pool.close();
});

test.run();
