/** Tells the primary how much memory this replica has: a word in its slot, written once a second. */

import type { Segment } from '../memory/segment.js';

const EVERY = 1_000; // ms

const MAX_KIB = 2 ** 32 - 1;

export function watchRss(segment: Segment, slot: number): void {
  const word = segment.slotWord(slot, segment.addon.layout.slotRss);
  const look = (): void => {
    segment.words[word] = Math.min(process.memoryUsage.rss() / 1024, MAX_KIB);
  };
  look();
  setInterval(look, EVERY).unref();
}
