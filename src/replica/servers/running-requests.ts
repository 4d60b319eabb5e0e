/**
 * The requests that run. Their number is the size of this set, and stands in the replica's slot; a ping is not answered
 * while those run that came before it.
 */

import type { Segment } from '../../memory/segment.js';
import type { Mailbox, Stretch } from '../messages/mailbox.js';
import type { Arrival, Stage } from './arrival.js';

export class RunningRequests implements Stage {
  readonly #mailbox: Mailbox;
  readonly #words: Int32Array;
  readonly #windowsWord: number;
  readonly #requestsWord: number;
  readonly #begunWord: number;
  readonly #running = new Map<Arrival, Stretch>();
  #begun = 0;

  constructor(segment: Segment, slot: number, mailbox: Mailbox) {
    const { layout } = segment.addon;
    this.#mailbox = mailbox;
    this.#words = segment.words;
    this.#windowsWord = segment.slotWord(slot, layout.slotWindows);
    this.#requestsWord = segment.slotWord(slot, layout.slotRequests);
    this.#begunWord = segment.slotWord(slot, layout.slotBegun);
  }

  get size(): number {
    return this.#running.size;
  }

  get isWindow(): boolean {
    return Atomics.load(this.#words, this.#windowsWord) !== 0;
  }

  /**
   * Counts it, and then looks whether it may run: a window is opened first and counts afterwards.
   * @returns false in a window. It is where it was then.
   */
  admit(arrival: Arrival): boolean {
    this.#running.set(arrival, this.#mailbox.begin());
    this.#count();
    if (this.isWindow) {
      this.delete(arrival);
      return false;
    }
    arrival.enter(this);
    this.#begun = (this.#begun + 1) | 0;
    Atomics.store(this.#words, this.#begunWord, this.#begun);
    return true;
  }

  delete(arrival: Arrival): void {
    const stretch = this.#running.get(arrival) as Stretch;
    this.#running.delete(arrival);
    this.#count();
    this.#mailbox.finish(stretch);
  }

  #count(): void {
    Atomics.store(this.#words, this.#requestsWord, this.#running.size);
  }
}
