/** What this primary has one of: its segment, whose slots are given to replicas and taken back. */

import { BallermannError } from '../../errors.js';
import { addon } from '../../memory/addon.js';
import { createSegment, Segment } from '../../memory/segment.js';

/**
 * The primary's segment, made at the first use; at each later one its header is written again, in case that a replica
 * has written over it. @throws BallermannError ERR_NATIVE_UNAVAILABLE.
 */
export function ownSegment(): { segment: Segment; fd: number } {
  const fd = createSegment();
  return { segment: Segment.require(), fd };
}

/** @throws BallermannError ERR_SEGMENT_FULL, and takes none then. */
export function takeSlots(count: number): number[] {
  const taken: number[] = [];
  while (taken.length < count) {
    const slot = addon().takeSlot();
    if (slot === undefined) {
      for (const one of taken) giveSlotBack(one);
      const text = `there is room for ${taken.length} more replicas in this primary; ${count} were to be started`;
      throw new BallermannError('ERR_SEGMENT_FULL', text);
    }
    taken.push(slot);
  }
  return taken;
}

export function giveSlotBack(slot: number): void {
  addon().giveSlotBack(slot);
}
