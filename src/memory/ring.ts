/** The primary's side of a ring: opens it under a name, publishes who is in rotation, pauses, resumes, closes. */

import { BallermannError } from '../errors.js';
import { HandOuts } from './hand-outs.js';
import { UNLIMITED } from './rotation.js';
import type { Segment } from './segment.js';

export interface Member {
  readonly pid: number;
  readonly slot: number;
}

export class Ring {
  readonly index: number;
  readonly #segment: Segment;
  readonly #handOuts: HandOuts;

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
    this.#handOuts = new HandOuts(addon.ticket(index), this.#wrapped);
  }

  publish(members: readonly Member[]): void {
    const pairs = new Uint32Array(members.length * 2);
    members.forEach(({ pid, slot }, i) => {
      pairs[2 * i] = pid;
      pairs[2 * i + 1] = slot;
    });
    const [last, first] = this.#segment.addon.publish(this.index, pairs);
    this.#handOuts.published(last, first);
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

  /** Pids that any process of the cluster has been handed out. Until the ring is closed. */
  handOuts(): number {
    const wrapped = this.#wrapped; // before the ticket: a wrap that is seen here is seen there
    return this.#handOuts.total(this.#segment.addon.ticket(this.index), wrapped);
  }

  close(): void {
    this.#segment.addon.closeRing(this.index);
  }

  get #wrapped(): number {
    const { layout } = this.#segment.addon;
    return Number(
      Atomics.load(this.#segment.longs, this.#segment.ringWord(this.index, layout.ringWrapped) / 2),
    );
  }
}
