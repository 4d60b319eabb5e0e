/** This process's view of the shared segment: one Int32Array over all of it, and its slots by name. */

import { BallermannError } from '../errors.js';
import { type Addon, addon } from './addon.js';

export class Segment {
  readonly addon: Addon;
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  /** The same memory, for fields of 64 bits. */
  readonly longs: BigInt64Array;

  private constructor(native: Addon, buffer: SharedArrayBuffer) {
    this.addon = native;
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.longs = new BigInt64Array(buffer);
  }

  /** The segment that this process has, in whichever of its threads; undefined where it has none. */
  static current(): Segment | undefined {
    if (current === undefined) {
      const native = addon();
      const buffer = native.sharedMemory();
      if (buffer !== undefined) current = new Segment(native, buffer);
    }
    return current;
  }

  /** As `current`, for those who know that there is one. */
  static require(): Segment {
    const segment = Segment.current();
    if (segment === undefined) throw new BallermannError('ERR_CLOSED', 'this process has no segment');
    return segment;
  }

  /** Index in `words` of a field (an offset of `Layout`) of a slot. */
  slotWord(slot: number, field: number): number {
    const { slots, slotBytes } = this.addon.layout;
    return (slots + slot * slotBytes + field) / 4;
  }

  /** Index in `words` of a field of a ring. */
  ringWord(ring: number, field: number): number {
    const { rings, ringBytes } = this.addon.layout;
    return (rings + ring * ringBytes + field) / 4;
  }

  /** Index in `words` of how many connections a slot has accepted of a listener. */
  acceptedWord(listener: number, slot: number): number {
    return this.listenerWord(listener) + this.addon.layout.listenerAccepted / 4 + slot;
  }

  /** Index in `words` of a listener. */
  listenerWord(listener: number): number {
    const { listeners, listenerBytes } = this.addon.layout;
    return (listeners + listener * listenerBytes) / 4;
  }
}

let current: Segment | undefined;

/** Primary: makes the segment, once a process, or writes its header again; answers the descriptor that replicas inherit. */
export function createSegment(): number {
  return addon().createSegment();
}

/** Replica: maps the inherited segment. @throws Error with code ERR_PROTOCOL where the layouts differ. */
export function attachSegment(fd: number, slot: number): void {
  addon().attachSegment(fd, slot);
}
