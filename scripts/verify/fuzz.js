/** Point 4: what reads a segment, fuzzed. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deriveShortStream, writeSmall } from './derive.js';
import { run } from './process.js';

export const packages = ['g++', 'clang', 'libclang-rt'];

/** A beginning for the fuzzer; it finds the rest by itself. Little endian, as the harness reads it. */
const seeds = {
  attach: {
    right: bytes(0, u16(1), 0, 0, u32(0)),
    shorter: bytes(0, u16(1), 0, 1, u32(0)),
    'no segment': bytes(0, u16(1), 5, 0, u32(0)),
    'other version': bytes(0, u16(1), 6, 0, u32(0), 4, u32(4), u32(99)),
    'ring spoiled': bytes(0, u16(1), 8, 0, u32(0), 8, u32(393_984), u32(0xffff_ffff), u32(0xffff_ffff)),
    'no file': bytes(0, u16(1), 1),
    socket: bytes(0, u16(1), 4),
    'slot outside': bytes(255, u32(5_000), 0, 0, u32(0)),
  },
  ring: {
    zeros: bytes(0, 0, 0, 0, 0),
    // Ring 0, filled with ones; ticket just below its wrap; three entries; two claims, a search, a count.
    claims: bytes(0, 0, 1, 0, 1, u32(2), u32(0xffff_fffe), 1, 0, 3, 1, 0, 3, 0, 0, 0, u32(1), 3, 4, 0, 0, 5),
    'large count': bytes(
      0,
      0,
      9,
      0,
      9,
      u32(4),
      u32(7),
      0,
      u32(0xffff_ffff),
      1,
      0,
      u32(0xffff_ffff),
      1,
      0,
      0,
      3,
      3,
    ),
    windows: bytes(
      0,
      0,
      9,
      0,
      9,
      u32(4),
      u32(7),
      1,
      0,
      5,
      1,
      0,
      5,
      0,
      0,
      8,
      6,
      u16(3),
      9,
      6,
      u16(3),
      7,
      u16(9),
    ),
    pools: bytes(1, 0, 0, 0, 0, u32(0), u32(0), 1, 1, 0, 0, 10, 1, 8, u32(7), u32(8), u32(9)),
  },
  listener: {
    // Slot 1 of listener 0, all zeros: it joins, a fellow is behind by 9, two looks.
    behind: bytes(
      u16(1),
      0,
      0,
      0,
      0,
      0,
      1,
      u32(9),
      u32(9),
      u32(1),
      0,
      u32(1),
      6,
      u16(2),
      0,
      9,
      u32(1),
      7,
      u32(1),
      7,
    ),
    // The last slot of the last listener, all ones.
    ones: bytes(u16(1024), 63, 0, 255, 0, 255, 1, u32(9), u32(9), u32(1), 0, u32(1), 1, u32(1), 7),
    'slots outside': bytes(
      u16(1),
      0,
      0,
      1,
      0,
      1,
      0,
      255,
      u32(9),
      u32(9),
      u32(1),
      5,
      u16(3),
      0,
      0,
      u32(0),
      u32(0),
      u32(7),
    ),
  },
  stream: {
    // Three frames, each read; then some written.
    frames: bytes(
      0,
      4,
      u16(5),
      4,
      u16(0),
      4,
      u16(900),
      6,
      6,
      6,
      6,
      8,
      u32(40),
      1,
      1,
      1,
      8,
      u32(2_000),
      0,
      u16(99),
      1,
      0,
    ),
    // Around the end: three long frames, each read at once, a pad, and two more.
    around: bytes(
      0,
      ...Array.from({ length: 3 }, () => [4, u16(2_600), 6]).flat(),
      5,
      4,
      u16(10),
      6,
      4,
      u16(2_000),
      6,
    ),
    'at the end': bytes(
      0,
      ...Array.from({ length: 3 }, () => [4, u16(2_600), 6]).flat(),
      2,
      u32(2_000),
      u32(1),
      1,
      6,
    ),
    'tail ahead': bytes(0, 0, u32(0xffff_fff8), u32(0xffff_ffff), 6, 0, u32(64), u32(0), 6),
    'head ahead': bytes(0, 8, u32(10), 1, 1, 1, 1, u32(4_096), u32(0), 8, u32(10), 1, 1, 1),
    'frame too long': bytes(0, 2, u32(0xffff_ffff), u32(1), 0, u16(100), 6, 6),
    given: bytes(0, 8, u32(4_000), 1, 1, 0, 9, 0, 10, 8, u32(100), 1, 1, 0, 11, u32(3), u16(60_000), 0),
  },
};

export const fuzzAttach = (context) => fuzz(context, 'attach');
export const fuzzRing = (context) => fuzz(context, 'ring');
export const fuzzListener = (context) => fuzz(context, 'listener');
export async function fuzzStream(context) {
  const derived = join(context.out, 'fuzz-stream-headers');
  writeSmall(derived, deriveShortStream(context.root));
  return fuzz(context, 'stream', derived);
}

/** @param headers a folder of headers that it includes, besides its own. */
async function fuzz({ root, out, long }, name, headers = join(root, 'native')) {
  const native = join(root, 'test', 'native');
  const program = join(out, `fuzz-${name}`);
  const corpus = join(out, `corpus-${name}`);
  await run('clang++', [
    '-std=c++20',
    '-g',
    '-O1',
    '-fsanitize=fuzzer,address,undefined',
    '-fno-sanitize-recover=all',
    '-I',
    join(native, 'fake'),
    '-I',
    headers,
    join(native, `fuzz_${name}.cc`),
    '-o',
    program,
  ]);
  mkdirSync(corpus, { recursive: true });
  for (const [seed, content] of Object.entries(seeds[name])) {
    writeFileSync(join(corpus, `seed-${seed.replaceAll(' ', '-')}`), content);
  }
  const seconds = long ? 600 : 20;
  const output = await run(
    program,
    [
      `-max_total_time=${seconds}`,
      '-timeout=10', // a loop that does not end
      '-rss_limit_mb=2048',
      '-max_len=4096',
      `-artifact_prefix=${out}/crash-${name}-`,
      corpus,
    ],
    { seconds: seconds + 120 },
  );
  const runs = output.match(/Done (\d+) runs/)?.[1];
  const reached = output.match(/reached: (\d+) (.+)/);
  const covered = [...output.matchAll(/cov: (\d+)/g)].at(-1)?.[1];
  if (!(Number(reached?.[1]) > 0)) throw new Error(`the fuzzer got nowhere:\n${output.slice(-1_000)}`);
  return `${Number(runs).toLocaleString('en')} inputs in ${seconds} s, ${covered} edges, corpus ${readdirSync(corpus).length}, ${Number(reached[1]).toLocaleString('en')} ${reached[2]}`;
}

function bytes(...parts) {
  return Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : part)));
}

function u16(value) {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt16LE(value);
  return buffer;
}

function u32(value) {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}
