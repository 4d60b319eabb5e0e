/** A caller's side of a ring: claims blocks of whole rotations and spends them one pid at a time. */

import type { Refusal } from '../errors.js';
import { Claimed } from './addon.js';
import type { Segment } from './segment.js';

/** Tickets to claim at once: a claim costs about ten hand-outs, so a block makes that small. */
const BLOCK = 1024;

/** A block starts within a first rotation and is at most BLOCK long; so is a rotation. */
const TURNS = 2 * BLOCK;

/** Up to as many replicas, 'least-queue' looks at all of them. */
const FEW = 4;

/** `maxQueueLength: Infinity` as the segment holds it. */
export const UNLIMITED = 0xffff_ffff;

/** What a field holds until the constructor sets it: of its type from the start, so that V8 need not check it later. */
const NONE = new Int32Array(0);

export class Rotation {
  readonly #segment: Segment;
  readonly #ring: number;
  readonly #refuse: (why: Refusal) => never;
  readonly #isReplica: (pid: number) => boolean;
  readonly #words: Int32Array = NONE;
  /** Index of the ring word's low half: generation and paused flag. */
  readonly #keyWord: number = 0;
  readonly #epochWord: number;
  readonly #epoch: number;
  /** Of slot 0. */
  readonly #unfinishedWord: number;
  readonly #slotWords: number;
  readonly #maxQueue: number;
  readonly #leastQueue: boolean;
  readonly #looksAtQueues: boolean = false;
  /** Each caller starts elsewhere in the rotation. */
  readonly #offset: number;
  /** Filled by claim(): see Rotation in native/ring.hpp. */
  readonly #block: Int32Array;
  readonly #pids: Int32Array;
  readonly #slots: Int32Array;
  /** The generation's pids again and again: one counter spends a block, without a wrap. */
  readonly #turns: Int32Array = new Int32Array(TURNS);
  /** The generation that #turns has, as the ring word names it while it is not paused. */
  #key = 0;
  #count = 0;
  /** The block that is left, in #turns. */
  #index = 0;
  #end = 0;

  /**
   * @param refuse throws the error that fits the caller's process.
   * @param isReplica as far as the caller knows: the table is in shared memory, and anything may have been written there.
   */
  constructor(
    segment: Segment,
    ring: number,
    refuse: (why: Refusal) => never,
    isReplica: (pid: number) => boolean = mayBeReplica,
  ) {
    const { layout } = segment.addon;
    const block = new Int32Array(layout.rotationBytes / 4);
    block[layout.rotationKey / 4] = layout.noKey;
    this.#segment = segment;
    this.#ring = ring;
    this.#refuse = refuse;
    this.#isReplica = isReplica;
    this.#words = segment.words;
    this.#keyWord = segment.ringWord(ring, layout.ringWord);
    this.#epochWord = segment.ringWord(ring, layout.ringEpoch);
    this.#epoch = at(segment.words, this.#epochWord);
    this.#unfinishedWord = segment.slotWord(0, layout.slotUnfinished);
    this.#slotWords = layout.slotBytes / 4;
    this.#maxQueue = at(segment.words, segment.ringWord(ring, layout.ringMaxQueue)) >>> 0;
    this.#leastQueue = at(segment.words, segment.ringWord(ring, layout.ringLeastQueue)) === 1;
    this.#looksAtQueues = this.#leastQueue || this.#maxQueue !== UNLIMITED;
    this.#offset = segment.addon.join(ring);
    this.#block = block;
    this.#pids = block.subarray(layout.rotationPids / 4, layout.rotationSlots / 4);
    this.#slots = block.subarray(layout.rotationSlots / 4);
    this.#key = layout.noKey;
  }

  /**
   * The next pid. One comparison tells that the pool was neither paused nor published anew since the block was
   * claimed; any change makes it claim again.
   */
  next(): number {
    const index = this.#index;
    if (index === this.#end || this.#words[this.#keyWord] !== this.#key || this.#looksAtQueues) {
      return this.#nextSlowly();
    }
    this.#index = index + 1;
    return at(this.#turns, index);
  }

  /** Whether the ring is still the pool's that it was made for. */
  get isOpen(): boolean {
    return this.#words[this.#epochWord] === this.#epoch;
  }

  #nextSlowly(): number {
    // The key of no table may be the ring's where somebody has written over it.
    if (this.#words[this.#keyWord] !== this.#key || this.#count === 0) this.#claim();
    if (!this.#looksAtQueues) return at(this.#turns, this.#take());
    if (this.#leastQueue) {
      const index = this.#lessLoaded();
      if (this.#unfinished(index) < this.#maxQueue) return at(this.#turns, index);
    }
    for (let tries = this.#count; tries > 0; tries--) {
      const index = this.#take();
      if (this.#unfinished(index) < this.#maxQueue) return at(this.#turns, index);
    }
    return this.#refuse('overload');
  }

  /** The next index in turn. */
  #take(): number {
    if (this.#index === this.#end) this.#claim();
    return this.#index++;
  }

  /**
   * The next in turn, or one with fewer unfinished messages: of all where they are few, else of the next and one at
   * random. Looking at two is nearly as good as looking at all (Mitzenmacher, The Power of Two Choices in Randomized
   * Load Balancing), costs the same for any number, and callers in several processes do not all find the same one.
   */
  #lessLoaded(): number {
    const next = this.#take() % this.#count;
    const others = this.#count - 1;
    if (this.#count > FEW) {
      const other = (next + 1 + Math.floor(Math.random() * others)) % this.#count;
      return this.#unfinished(other) < this.#unfinished(next) ? other : next;
    }
    let best = next;
    for (let i = 1; i <= others; i++) {
      const other = (next + i) % this.#count;
      if (this.#unfinished(other) < this.#unfinished(best)) best = other;
    }
    return best;
  }

  #unfinished(index: number): number {
    const slot = at(this.#slots, index % this.#count);
    return at(this.#words, this.#unfinishedWord + slot * this.#slotWords);
  }

  #claim(): void {
    const { addon } = this.#segment;
    const { layout } = addon;
    const claimed = addon.claim(this.#ring, BLOCK, this.#block);
    // The ring may have become another pool's, even between a look at the epoch and the claim: so the look comes after.
    if (!this.isOpen) this.#refuseFor('closed');
    if (claimed === Claimed.paused) this.#refuse('paused'); // what is left of the block is spent after the pause
    if (claimed !== Claimed.tickets) this.#refuseFor(claimed === Claimed.empty ? 'empty' : 'spoiled');
    const key = at(this.#block, layout.rotationKey / 4);
    if (key !== this.#key) {
      const count = at(this.#block, layout.rotationCount / 4);
      if (!this.#pids.subarray(0, count).every(this.#isReplica)) {
        this.#block[layout.rotationKey / 4] = layout.noKey; // to be copied again
        this.#refuseFor('spoiled');
      }
      this.#fillTurns(key, count);
    }
    this.#index = (at(this.#block, layout.rotationFirst / 4) + this.#offset) % this.#count;
    this.#end = this.#index + at(this.#block, layout.rotationLeft / 4);
  }

  #fillTurns(key: number, count: number): void {
    this.#turns.set(this.#pids.subarray(0, count));
    for (let filled = count; filled < TURNS; filled *= 2) this.#turns.copyWithin(filled, 0, filled);
    this.#key = key;
    this.#count = count;
  }

  #refuseFor(why: Refusal): never {
    this.#end = this.#index; // the block is no longer good
    return this.#refuse(why);
  }
}

/** To `process.kill`, 0 and what is below it are groups and everybody; and no primary has forked 1. */
function mayBeReplica(pid: number): boolean {
  return pid > 1;
}

/** An element that is known to be there. */
function at(array: Int32Array, index: number): number {
  return array[index] as number;
}
