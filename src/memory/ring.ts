/** The primary's side of a ring: opens it under a name, publishes who is in rotation, pauses, resumes, closes. */

import { BallermannError } from '../errors.js';
import { UNLIMITED } from './rotation.js';
import type { Segment } from './segment.js';

export interface Member {
  readonly pid: number;
  readonly slot: number;
}

export class Ring {
  readonly index: number;
  readonly #segment: Segment;

  /** @throws BallermannError ERR_SEGMENT_FULL when every ring has a pool. */
  constructor(segment: Segment, name: string, maxQueueLength: number, leastQueue = false) {
    const { addon } = segment;
    const index = addon.openRing(name, Math.min(maxQueueLength, UNLIMITED), leastQueue);
    if (index === undefined) {
      throw new BallermannError(
        'ERR_SEGMENT_FULL',
        `no room for pool '${name}': this primary has ${addon.layout.poolCount} pools, which is the most; close one`,
      );
    }
    this.index = index;
    this.#segment = segment;
  }

  publish(members: readonly Member[]): void {
    const pairs = new Uint32Array(members.length * 2);
    members.forEach(({ pid, slot }, i) => {
      pairs[2 * i] = pid;
      pairs[2 * i + 1] = slot;
    });
    this.#segment.addon.publish(this.index, pairs);
  }

  pause(): void {
    this.#segment.addon.pause(this.index);
  }

  resume(): void {
    this.#segment.addon.resume(this.index);
  }

  /** Transactions that any process of the cluster has running in this pool. */
  running(): number {
    return this.#segment.addon.runningIn(this.index);
  }

  close(): void {
    this.#segment.addon.closeRing(this.index);
  }
}
