/** A caller's side of a ring: claims blocks of whole rotations and spends them one pid at a time. */

import type { Refusal } from '../errors.js';
import { Claimed } from './addon.js';
import type { Segment } from './segment.js';

/** Tickets to claim at once: a claim costs about ten hand-outs, so a block makes that small. */
const BLOCK = 1024;

export class Rotation {
  readonly #segment: Segment;
  readonly #ring: number;
  readonly #words: Int32Array;
  readonly #word: number; // index of the ring word's low half: generation and paused flag
  readonly #block: Int32Array; // filled by claim(): see Rotation in native/ring.hpp
  readonly #pids: Int32Array;
  readonly #slots: Int32Array;
  readonly #offset: number; // each caller starts elsewhere in the rotation
  readonly #maxQueue: number;
  readonly #epochWord: number;
  readonly #epoch: number;
  readonly #refuse: (why: Refusal) => never;
  #key: number;
  #left = 0;
  #count = 0;
  #index = 0;

  /** @param refuse throws the error that fits the caller's process. */
  constructor(segment: Segment, ring: number, refuse: (why: Refusal) => never) {
    const { layout } = segment.addon;
    const block = new Int32Array(layout.rotationBytes / 4);
    block[layout.rotationKey / 4] = layout.noKey;
    this.#segment = segment;
    this.#ring = ring;
    this.#words = segment.words;
    this.#word = segment.ringWord(ring, layout.ringWord);
    this.#block = block;
    this.#pids = block.subarray(layout.rotationPids / 4, layout.rotationSlots / 4);
    this.#slots = block.subarray(layout.rotationSlots / 4);
    this.#offset = segment.addon.join(ring);
    this.#maxQueue = at(segment.words, segment.ringWord(ring, layout.ringMaxQueue)) >>> 0;
    this.#epochWord = segment.ringWord(ring, layout.ringEpoch);
    this.#epoch = at(segment.words, this.#epochWord);
    this.#refuse = refuse;
    this.#key = layout.noKey;
  }

  /**
   * The next pid. One comparison tells that the pool was neither paused nor published anew since the block was
   * claimed; any change makes it claim again.
   */
  next(): number {
    if (this.#maxQueue !== UNLIMITED) return this.#nextWithRoom();
    if (this.#left === 0 || this.#words[this.#word] !== this.#key) this.#claim();
    return at(this.#pids, this.#advance());
  }

  /** Whether the ring is still the pool's that it was made for. */
  get isOpen(): boolean {
    return this.#words[this.#epochWord] === this.#epoch;
  }

  #advance(): number {
    const index = this.#index;
    this.#left--;
    this.#index = index + 1 === this.#count ? 0 : index + 1;
    return index;
  }

  #nextWithRoom(): number {
    if (this.#left === 0 || this.#words[this.#word] !== this.#key) this.#claim();
    for (let tries = this.#count; tries > 0; tries--) {
      if (this.#left === 0) this.#claim();
      const index = this.#advance();
      const { layout } = this.#segment.addon;
      const unfinished = this.#segment.slotWord(at(this.#slots, index), layout.slotUnfinished);
      if (at(this.#words, unfinished) < this.#maxQueue) return at(this.#pids, index);
    }
    return this.#refuse('overload');
  }

  #claim(): void {
    const { addon } = this.#segment;
    const { layout } = addon;
    const claimed = addon.claim(this.#ring, BLOCK, this.#block);
    // The ring may have become another pool's, even between a look at the epoch and the claim: so the look comes after.
    if (!this.isOpen) {
      this.#left = 0;
      this.#refuse('closed');
    }
    if (claimed !== Claimed.tickets) {
      if (claimed !== Claimed.paused) this.#left = 0; // a pause leaves the block as it is
      this.#refuse(claimed === Claimed.paused ? 'paused' : claimed === Claimed.empty ? 'empty' : 'spoiled');
    }
    this.#key = at(this.#block, layout.rotationKey / 4);
    this.#count = at(this.#block, layout.rotationCount / 4);
    this.#left = at(this.#block, layout.rotationLeft / 4);
    this.#index = (at(this.#block, layout.rotationFirst / 4) + this.#offset) % this.#count;
  }
}

/** `maxQueueLength: Infinity` as the segment holds it. */
export const UNLIMITED = 0xffff_ffff;

/** An element that is known to be there. */
function at(array: Int32Array, index: number): number {
  return array[index] as number;
}
