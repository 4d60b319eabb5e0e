/** One replica's slot in the segment, as the primary sees it: what it writes there, and what the replica says. */

import { SlotState } from './addon.js';
import { LongCount } from './counts.js';
import type { Segment } from './segment.js';

/** What the primary says of the process that a slot is for. */
export interface Occupant {
  readonly pid: number;
  readonly incarnation: number;
  readonly windows: number;
  /** ms */
  readonly blockedAfter: number;
  readonly maxQueueLength: number;
}

/** What a replica has counted since it started. */
export interface SlotCounts {
  /** Calls and casts that it has taken out of its mailbox. */
  readonly taken: number;
  /** Requests that its servers have begun. */
  readonly begun: number;
  /** Connections that have come to its servers. */
  readonly accepted: number;
}

export class Slot {
  readonly #segment: Segment;
  readonly #slot: number;
  readonly #words: Int32Array;
  readonly #unfinished: number;
  readonly #taken: number;
  readonly #allTaken = new LongCount();
  readonly #allBegun = new LongCount();
  readonly #allAccepted = new LongCount();
  /** Indexes in `longs`. */
  readonly #loopClock: number;
  readonly #loopIdle: number;

  constructor(segment: Segment, slot: number) {
    const { layout } = segment.addon;
    this.#segment = segment;
    this.#slot = slot;
    this.#words = segment.words;
    this.#unfinished = segment.slotWord(slot, layout.slotUnfinished);
    this.#taken = segment.slotWord(slot, layout.slotTaken);
    this.#loopClock = segment.slotWord(slot, layout.slotLoopClock) / 2;
    this.#loopIdle = segment.slotWord(slot, layout.slotLoopIdle) / 2;
  }

  /** All else in the slot is zero: it was cleared at the last exit. Now the new process may be counting in it already. */
  occupy({ pid, incarnation, windows, blockedAfter, maxQueueLength }: Occupant): void {
    const { layout } = this.#segment.addon;
    this.#words[this.#word(layout.slotIncarnation)] = incarnation;
    this.#words[this.#word(layout.slotBlockedAfter)] =
      blockedAfter === Number.POSITIVE_INFINITY ? 0 : Math.ceil(blockedAfter);
    this.windows = windows;
    this.maxQueueLength = maxQueueLength;
    this.#words[this.#word(layout.slotPid)] = pid;
  }

  /** What a dead process had counted (transactions in particular) is over with it, and it listens no more. */
  clear(): void {
    const { layout } = this.#segment.addon;
    const end = this.#segment.slotWord(this.#slot + 1, 0);
    for (let word = this.#word(0); word < end; word++) Atomics.store(this.#words, word, 0);
    for (let listener = 0; listener < layout.listenerCount; listener++)
      Atomics.store(this.#words, this.#segment.acceptedWord(listener, this.#slot), 0);
  }

  /** Messages sent to the replica and not finished by it. */
  set unfinished(count: number) {
    this.#words[this.#unfinished] = count;
  }

  /** Messages that the replica has taken out of its mailbox, modulo 2^32. */
  get taken(): number {
    return this.#words[this.#taken] as number;
  }

  /** What the replica counts. Beyond 2^32 too where it is looked at now and then: each count wraps. */
  get counts(): SlotCounts {
    const { slotBegun, slotAccepted } = this.#segment.addon.layout;
    return {
      taken: this.#allTaken.look(this.taken),
      begun: this.#allBegun.look(this.#words[this.#word(slotBegun)] as number),
      accepted: this.#allAccepted.look(this.#words[this.#word(slotAccepted)] as number),
    };
  }

  /** Requests that its servers are running. Sequentially consistent: who opens a window looks here after that. */
  get requests(): number {
    return Atomics.load(this.#words, this.#word(this.#segment.addon.layout.slotRequests)) >>> 0;
  }

  /** Bytes of memory, as the replica last looked; 0 where it does not. */
  get rss(): number {
    return ((this.#words[this.#word(this.#segment.addon.layout.slotRss)] as number) >>> 0) * 1024;
  }

  /** When the replica's event loop began the turn that it is in (monotonic ns); 0 while it waits for work. */
  get busySince(): bigint {
    return Atomics.load(this.#segment.longs, this.#loopClock);
  }

  /**
   * ns that the event loop has waited for work. While it waits, that less the time at which it began to: so it is
   * negative then, since no process is older than the clock, and adding the time gives the same again.
   */
  get idle(): bigint {
    return Atomics.load(this.#segment.longs, this.#loopIdle);
  }

  /** Whether the replica is to get anything new; what `blocked` means stands in native/layout.hpp. */
  set state(state: keyof typeof SlotState) {
    Atomics.store(this.#words, this.#word(this.#segment.addon.layout.slotState), SlotState[state]);
  }

  /** Open windows over the replica's supervisor. Sequentially consistent: a request counts first, then looks here. */
  set windows(count: number) {
    Atomics.store(this.#words, this.#word(this.#segment.addon.layout.slotWindows), count);
  }

  /** Unfinished messages at which the replica is to get no connection; Infinity: it always may. */
  set maxQueueLength(length: number) {
    const word = this.#word(this.#segment.addon.layout.slotMaxQueue);
    Atomics.store(this.#words, word, length === Number.POSITIVE_INFINITY ? 0 : length);
  }

  #word(field: number): number {
    return this.#segment.slotWord(this.#slot, field);
  }
}
