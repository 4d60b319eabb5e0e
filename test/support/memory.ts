/** How much memory this process has, for tests of what stays. */

import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { median } from './figures.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of JavaScript's heap that this process cannot give back, and those of buffers besides. */
export function memory(): { heap: number; all: number } {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return { heap: heapUsed, all: heapUsed + external };
}

const ROUNDS = 5;

/** That have to agree, but for bytes of noise. */
const LOOKS = 4;
const NOISE = 1_000;

/**
 * Bytes that each run of `act` leaves behind: the median of some rounds of so many runs, after one in which code is compiled and
 * caches fill.
 */
export async function leftBy(
  act: () => unknown,
  runs: number,
  look: () => number | Promise<number> = () => memory().all,
): Promise<number> {
  const left: number[] = [];
  for (let round = 0, before = 0; round <= ROUNDS; round++) {
    for (let run = 0; run < runs; run++) {
      await act();
      if (run % 10 === 0) await turn(); // what waits for its turn of the event loop is not left behind
    }
    const now = await settled(look);
    if (round > 0) left.push((now - before) / runs);
    before = now;
  }
  return median(left);
}

/** What a look gives when looks do not become less any more: what one collection frees, or an answer that comes, may free others. */
async function settled(look: () => number | Promise<number>): Promise<number> {
  let least = await look();
  for (let same = 0; same < LOOKS; same++) {
    await sleep(10);
    const now = await look();
    if (now < least - NOISE) same = 0;
    least = Math.min(least, now);
  }
  return least;
}
