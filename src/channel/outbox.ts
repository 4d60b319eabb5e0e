/**
 * The sending half of a channel: gathers the entries of a turn of the event loop into one IPC message, gives the channel
 * no more than it takes, and bounds what waits, since Node's own send buffer has no bound.
 */

import type { Serializable } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { CMD } from './protocol.js';

/** What may wait for one slow reader, in characters or bytes. A single larger item passes an empty outbox. */
export const MAX_WAITING = 64 * 1024 * 1024;

/** How many items may: a small one costs far more memory than its characters, with its promise and time limit 700 bytes. */
export const MAX_ITEMS = 128 * 1024;

/**
 * An IPC message is closed when it has this many characters or bytes. Much larger ones are written, read and parsed
 * one after another, so that the two ends no longer work at the same time.
 */
const BATCH = 64 * 1024;

/** ms after which `hurry` does not leave what waits to the end of the turn. */
const LONG_TURN = 1;

/** What an entry costs beside its payload. */
export const ENTRY_WEIGHT = 64;

export interface Port {
  /** Answers false when the channel has enough to write for now. */
  send?(
    message: Serializable,
    handle: undefined,
    options: undefined,
    callback: (error: Error | null) => void,
  ): boolean;
}

export interface Outgoing<Entry> {
  /** Called as the item goes out; undefined where it no longer should. */
  depart(): Entry | undefined;
  /** The message that it was in could not be written: it has not departed, and waits again. In the turn of `depart`. */
  recall(): void;
  /** It cannot be written, not even alone: it was recalled, and never goes out. */
  fail(error: unknown): void;
  readonly weight: number;
  /** True where it no longer should go out. */
  readonly isVoid: boolean;
}

export class Outbox<Entry> {
  readonly #port: Port;
  readonly #join: (last: Entry, next: Entry) => boolean;
  /** From `#head` on; what is before has gone out, and is dropped now and then. */
  #waiting: Outgoing<Entry>[] = [];
  #head = 0;
  #weight = 0;
  /** At least what void items weigh that still wait. */
  #voidWeight = 0;
  #corked: boolean;
  /** Messages that are not written yet. */
  #underWay = 0;
  /** The channel takes no more until all is written. */
  #isBlocked = false;
  /** When the first of what waits came (ms). */
  #waitsSince = 0;
  #lastBatch = 0;
  /** So many of the first that wait were in a message that could not be written: they go out one by one. */
  #suspects = 0;
  #scheduled = false;
  #closed = false;
  readonly #drained: (() => void)[] = [];

  /**
   * @param join appends an entry to the one before it where one can say both; else it answers false.
   * @param corked whether entries wait for `uncork`, because the other end is not there yet.
   */
  constructor(port: Port, join: (last: Entry, next: Entry) => boolean, corked: boolean) {
    this.#port = port;
    this.#join = join;
    this.#corked = corked;
  }

  /** As post. False where the outbox is full or closed; the item was not taken then. */
  push(item: Outgoing<Entry>, isAlone = false): boolean {
    if (this.#closed) return false;
    if (this.#isFullFor(item) && this.#voidWeight > 0) this.#sweep();
    if (this.#isFullFor(item)) return false;
    this.post(item, isAlone);
    return true;
  }

  /** A waiting item has become void: its room is found again when it is needed. */
  voided(item: Outgoing<Entry>): void {
    this.#voidWeight += item.weight;
  }

  /**
   * Sends at the end of the loop's turn, so that what comes from several callbacks travels together. Never refused: it
   * is for what is small and of which there is at most one for each entry received.
   * @param isAlone nothing is in flight that another entry could follow from. It goes out at once then, if the message
   * before held one entry too: nothing gathers, and waiting would only take time.
   */
  post(item: Outgoing<Entry>, isAlone = false): void {
    if (this.#closed) return;
    const isFirst = this.#isEmpty;
    this.#waiting.push(item);
    this.#weight += item.weight;
    if (isAlone && this.#lastBatch === 1 && this.#underWay === 0 && !this.#corked && this.#suspects === 0)
      return this.#flush();
    if (isFirst) this.#waitsSince = performance.now();
    this.#schedule();
  }

  /** In the middle of a turn: sends what waits if it has waited for long. */
  hurry(): void {
    if (this.#corked || this.#isEmpty || performance.now() - this.#waitsSince < LONG_TURN) return;
    this.#flush();
  }

  uncork(): void {
    this.#corked = false;
    this.#schedule();
  }

  /** Sends all that waits at once, without gathering: for a process that is about to exit. */
  flushNow(): void {
    const items = this.#takeWaiting();
    if (this.#sendNow(items) === undefined) return;
    for (const item of items) {
      const own = this.#sendNow([item]);
      if (own !== undefined) item.fail(own.error);
    }
  }

  /** More waits than `push` would allow: the other end asks, and does not read the answers. */
  get isOverfull(): boolean {
    if (this.#corked) return false;
    return this.#weight > MAX_WAITING || this.#count > MAX_ITEMS;
  }

  /** Resolves when nothing waits or is under way, or the channel is closed. */
  drained(): Promise<void> {
    if (this.#closed || (this.#isEmpty && this.#underWay === 0)) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  /** The other end is gone: answers what never went out, in order. */
  close(): Outgoing<Entry>[] {
    this.#closed = true;
    this.#weight = 0;
    this.#settleDrained();
    return this.#takeWaiting();
  }

  get #count(): number {
    return this.#waiting.length - this.#head;
  }

  get #isEmpty(): boolean {
    return this.#count === 0;
  }

  #takeWaiting(): Outgoing<Entry>[] {
    const waiting = this.#waiting.slice(this.#head);
    this.#waiting = [];
    this.#head = 0;
    return waiting;
  }

  #isFullFor(item: Outgoing<Entry>): boolean {
    if (this.#isEmpty) return false;
    return this.#weight + item.weight > MAX_WAITING || this.#count >= MAX_ITEMS;
  }

  #sweep(): void {
    this.#waiting = this.#takeWaiting().filter((item) => !item.isVoid);
    this.#weight = this.#waiting.reduce((sum, item) => sum + item.weight, 0);
    this.#voidWeight = 0;
  }

  #schedule(): void {
    if (this.#scheduled || this.#isBlocked || this.#corked || this.#isEmpty) return;
    setImmediate(this.#scheduledFlush);
    this.#scheduled = true; // now: the call throws where the stack of whoever posts is full
  }

  readonly #scheduledFlush = (): void => {
    this.#scheduled = false;
    this.#flush();
  };

  #flush(): void {
    if (this.#closed || this.#isBlocked) return;
    const begin = this.#head;
    const isSuspect = this.#suspects > 0;
    const end = isSuspect ? begin + 1 : Number.POSITIVE_INFINITY;
    const batch: Entry[] = [];
    let weight = 0;
    let items = 0;
    while (!this.#isEmpty && this.#head < end && weight < BATCH) {
      const item = this.#waiting[this.#head++] as Outgoing<Entry>;
      this.#weight -= item.weight;
      if (!this.#add(batch, item)) continue;
      weight += item.weight;
      items++;
    }
    if (isSuspect) this.#suspects--;
    if (batch.length > 0) {
      try {
        this.#send(batch);
        this.#lastBatch = items;
      } catch (error) {
        this.#takeBack(begin, isSuspect, error);
      }
    }
    if (this.#head > this.#waiting.length / 2) this.#waiting = this.#takeWaiting();
    if (this.#isEmpty && this.#underWay === 0) this.#settleDrained();
    else this.#schedule();
  }

  /** @throws what keeps it from being written. */
  #send(batch: readonly Entry[]): void {
    const message = { cmd: CMD, batch } as unknown as Serializable;
    if (this.#port.send?.(message, undefined, undefined, this.#sent) === false) this.#isBlocked = true;
    this.#underWay++;
  }

  /**
   * The message with the items from `begin` on could not be written. One of them is to blame, or the depth of the stack that
   * their sender stood on: so they are tried again one by one, each in a turn of its own. What was alone fails.
   */
  #takeBack(begin: number, wasAlone: boolean, error: unknown): void {
    const items = this.#waiting.slice(begin, this.#head);
    for (const item of items) item.recall();
    if (wasAlone) {
      for (const item of items) item.fail(error);
      return;
    }
    this.#suspects = items.length;
    this.#head = begin;
    for (const { weight } of items) this.#weight += weight;
  }

  /** @returns what has kept it from being written, where something has. */
  #sendNow(items: readonly Outgoing<Entry>[]): { readonly error: unknown } | undefined {
    const batch: Entry[] = [];
    for (const item of items) this.#add(batch, item);
    try {
      if (batch.length > 0)
        this.#port.send?.({ cmd: CMD, batch } as Serializable, undefined, undefined, () => {});
      return undefined;
    } catch (error) {
      for (const item of items) item.recall();
      return { error };
    }
  }

  /** False where the item no longer wants to go. */
  #add(batch: Entry[], item: Outgoing<Entry>): boolean {
    const entry = item.depart();
    if (entry === undefined) return false;
    const last = batch.at(-1);
    if (last === undefined || !this.#join(last, entry)) batch.push(entry);
    return true;
  }

  readonly #sent = (error: Error | null): void => {
    this.#underWay--;
    if (error) return; // the channel is closing; whoever watches the process calls close()
    if (this.#underWay > 0) return;
    this.#isBlocked = false;
    if (!this.#isEmpty) this.#schedule();
    else this.#settleDrained();
  };

  #settleDrained(): void {
    if (this.#drained.length === 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}

/** An item that always goes out as it is: none that others are joined to. */
class Fixed<Entry> implements Outgoing<Entry> {
  readonly isVoid = false;
  readonly weight: number;
  readonly #entry: Entry;
  readonly #failed: ((error: unknown) => void) | undefined;

  constructor(entry: Entry, weight: number, failed: ((error: unknown) => void) | undefined) {
    this.#entry = entry;
    this.weight = weight;
    this.#failed = failed;
  }

  depart(): Entry {
    return this.#entry;
  }

  recall(): void {}

  fail(error: unknown): void {
    this.#failed?.(error);
  }
}

/** @param failed called where it cannot be written. */
export function fixed<Entry>(
  entry: Entry,
  weight: number = ENTRY_WEIGHT,
  failed?: (error: unknown) => void,
): Outgoing<Entry> {
  return new Fixed(entry, weight, failed);
}
