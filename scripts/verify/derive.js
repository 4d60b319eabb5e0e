/**
 * Writes headers of native/ again, for the model checker: with its atomics in the place of std::atomic, smaller, and
 * with one weakness where a mutant is wanted. Each text to replace has to be there just as often as is said here, so
 * that a change of a header cannot quietly empty a check.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const native = (root, file) => readFileSync(join(root, 'native', file), 'utf8');

/** Writes layout.hpp and ring.hpp, with small tables. */
export function deriveSmallRing(root, mutant) {
  let layout = withCheckedAtomics(native(root, 'layout.hpp'));
  for (const [name, size] of Object.entries({ kMaxReplicas: 3, kPoolCount: 1, kNameBytes: 16 })) {
    layout = withSize(layout, name, size);
  }
  // Sizes and offsets in bytes are those of the real atomics.
  layout = replaceOnce(layout, /static_assert\(sizeof\(checked::atomic<uint32_t>\)[^;]*;/, '');
  layout = replaceOnce(layout, /static_assert\(std::is_standard_layout_v<Segment>\);/, '');
  layout = replaceOnce(layout, /static_assert\(sizeof\(Slot\)[^;]*;/, '');

  let ring = weakened(native(root, 'ring.hpp'), mutant);
  // Attempts of one swap: so few that the ways that begin at the last one are taken too.
  ring = withSize(ring, 'kMaxAttempts', 4);
  ring = withCheckedAtomics(ring).replaceAll('std::atomic_thread_fence', 'checked::atomic_thread_fence');
  return { 'layout.hpp': layout, 'ring.hpp': ring };
}

/** Writes channel_layout.hpp and stream.hpp, with streams of 8 cells, 4 of them warm, whose bytes are cells as well. */
export function deriveSmallStream(root, mutant) {
  let layout = withCheckedAtomics(native(root, 'channel_layout.hpp'));
  layout = withSize(layout, 'kStreamBytes', 64);
  layout = withSize(layout, 'kWarmBytes', 32);
  layout = replaceOnce(layout, 'using Cell = uint64_t;', 'using Cell = checked::Cell;');
  layout = replaceOnce(layout, '__atomic_load_n(&cell, __ATOMIC_RELAXED)', 'cell.load()');
  layout = replaceAll(layout, 'uint8_t*', 'Cell*');
  layout = replaceOnce(layout, / && kStreamBytes % kDataOffset == 0/, '');
  layout = replaceOnce(layout, /uint8_t unused[^;]*;/, '');
  layout = replaceOnce(layout, /static_assert\(sizeof\(checked::atomic<uint32_t>\)[^;]*;/, '');
  layout = replaceOnce(layout, /static_assert\(std::is_standard_layout_v<Channel>\);/, '');
  layout = replaceOnce(layout, /static_assert\(sizeof\(ChannelWords\)[^;]*;/, '');
  layout = replaceOnce(layout, /static_assert\(sizeof\(Channel\)[^;]*;/, '');

  let stream = weakened(native(root, 'stream.hpp'), mutant);
  stream = replaceAll(stream, 'uint8_t*', 'Cell*');
  stream = withCheckedAtomics(stream);
  return { 'channel_layout.hpp': layout, 'stream.hpp': stream };
}

/** The same with real atomics, and streams that are short, but hold some pages of 1 KiB. */
export function deriveShortStream(root) {
  let layout = withSize(native(root, 'channel_layout.hpp'), 'kStreamBytes', 8 << 10);
  layout = withSize(layout, 'kWarmBytes', 1 << 10);
  layout = withSize(layout, 'kDataOffset', 1 << 10);
  return { 'channel_layout.hpp': layout, 'stream.hpp': native(root, 'stream.hpp') };
}

/** @param files as one of the above gave them; they go into `small/` of `directory`, which is to be compiled with -I. */
export function writeSmall(directory, files, scenarios = []) {
  const small = join(directory, 'small');
  mkdirSync(small, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(small, name), text);
  writeFileSync(
    join(small, 'scenarios.inc'),
    scenarios.map(({ name, type }) => `RUN(${name}, ${type})\n`).join(''),
  );
}

function weakened(text, mutant) {
  return mutant?.find === undefined ? text : replaceOnce(text, mutant.find, mutant.replace);
}

function withCheckedAtomics(text) {
  return replaceAll(text, 'std::atomic<', 'checked::atomic<');
}

function withSize(text, name, size) {
  const constant = new RegExp(`inline constexpr (?:uint32_t|uint64_t|size_t) ${name} = [^;]+;`);
  return replaceOnce(text, constant, `inline constexpr uint32_t ${name} = ${size};`);
}

function replaceOnce(text, what, by) {
  const parts = text.split(what);
  if (parts.length !== 2) throw new Error(`found ${parts.length - 1} times, expected once: ${what}`);
  return parts.join(by);
}

function replaceAll(text, what, by) {
  if (!text.includes(what)) throw new Error(`not found: ${what}`);
  return text.replaceAll(what, by);
}
