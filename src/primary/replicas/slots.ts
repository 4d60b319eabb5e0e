/** What this primary has one of: its segment, whose slots are given to replicas and taken back. */

import { BallermannError } from '../../errors.js';
import { createSegment, Segment } from '../../memory/segment.js';

let segmentFd: number | undefined;
let freeSlots: number[] = [];

/**
 * The primary's segment, made at the first use; at each later one its header is written again, in case that a replica
 * has written over it. @throws BallermannError ERR_NATIVE_UNAVAILABLE.
 */
export function ownSegment(): { segment: Segment; fd: number } {
  const isFirst = segmentFd === undefined;
  segmentFd = createSegment();
  if (isFirst) {
    const { slotCount } = Segment.require().addon.layout;
    freeSlots = Array.from({ length: slotCount - 1 }, (_, i) => slotCount - 1 - i); // pop() gives 1 first
  }
  return { segment: Segment.require(), fd: segmentFd };
}

/** @throws BallermannError ERR_SEGMENT_FULL, and takes none then. */
export function takeSlots(count: number): number[] {
  if (count > freeSlots.length) {
    const text = `no room for ${count} more replicas: ${freeSlots.length} slots are free`;
    throw new BallermannError('ERR_SEGMENT_FULL', text);
  }
  return Array.from({ length: count }, () => freeSlots.pop() as number);
}

export function giveSlotBack(slot: number): void {
  freeSlots.push(slot);
}
