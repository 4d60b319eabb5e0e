/**
 * Writes native/layout.hpp and native/ring.hpp again, for the model checker: with its atomics in the place of
 * std::atomic, smaller tables, and one weakness where a mutant is wanted. Each text to replace has to be there
 * just as often as is said here, so that a change of the ring cannot quietly empty a check.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SIZES = {
  kMaxReplicas: 3,
  kPoolCount: 1,
  kNameBytes: 16,
};
/** Of one swap. So few that the ways that begin at the last one are taken too. */
const ATTEMPTS = 4;

/**
 * Writes `small/` into `directory`, which is then to be compiled with -I.
 * @param scenarios the ones to compile.
 */
export function deriveSmallRing(root, directory, scenarios, mutant) {
  const native = (file) => readFileSync(join(root, 'native', file), 'utf8');
  let layout = replaceAll(native('layout.hpp'), 'std::atomic<', 'checked::atomic<');
  for (const [name, size] of Object.entries(SIZES)) {
    layout = replaceOnce(
      layout,
      new RegExp(`inline constexpr uint32_t ${name} = \\d+;`),
      `inline constexpr uint32_t ${name} = ${size};`,
    );
  }
  // Sizes and offsets in bytes are those of the real atomics.
  layout = replaceOnce(layout, /static_assert\(sizeof\(checked::atomic<uint32_t>\)[^;]*;/, '');
  layout = replaceOnce(layout, /static_assert\(std::is_standard_layout_v<Segment>\);/, '');
  layout = replaceOnce(layout, /static_assert\(sizeof\(Slot\)[^;]*;/, '');

  let ring = native('ring.hpp');
  if (mutant?.find !== undefined) ring = replaceOnce(ring, mutant.find, mutant.replace);
  ring = replaceOnce(ring, /kMaxAttempts = \d+;/, `kMaxAttempts = ${ATTEMPTS};`);
  ring = replaceAll(ring, 'std::atomic<', 'checked::atomic<');
  ring = ring.replaceAll('std::atomic_thread_fence', 'checked::atomic_thread_fence');

  const small = join(directory, 'small');
  mkdirSync(small, { recursive: true });
  writeFileSync(join(small, 'layout.hpp'), layout);
  writeFileSync(join(small, 'ring.hpp'), ring);
  writeFileSync(
    join(small, 'scenarios.inc'),
    scenarios.map(({ name, type }) => `RUN(${name}, ${type})\n`).join(''),
  );
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
