/**
 * The sending half of a channel: gathers the small entries of a turn of the event loop into one message, gives the channel
 * no more than it takes, and bounds what waits.
 */

import { performance } from 'node:perf_hooks';

/** What may wait for one slow reader, in characters or bytes. A single larger item passes an empty outbox. */
export const MAX_WAITING = 64 * 1024 * 1024;

/** How many items may: a small one costs far more memory than its characters, with its promise and time limit 700 bytes. */
export const MAX_ITEMS = 128 * 1024;

/**
 * A message is closed when it has this many characters or bytes. Much larger ones are written, read and parsed
 * one after another, so that the two ends no longer work at the same time.
 */
const BATCH = 64 * 1024;

/**
 * An item of this many characters or bytes, or more, is a message of its own, which travels by V8's serializer. With a text of
 * 8 KiB a call costs the primary 18 µs so, and 26 µs as JSON; with one of 4 KiB 23 and 12 (16 in flight, one replica). Lists of
 * small objects cost as much either way.
 */
export const HEAVY = 8 * 1024;

/** So many characters or bytes go out in one turn of the event loop, so that what came in that turn is not kept waiting. */
const TURN = 1024 * 1024;

/** ms after which `hurry` does not leave what waits to the end of the turn. */
const LONG_TURN = 1;

/** What an entry costs beside its payload. */
export const ENTRY_WEIGHT = 64;

export interface Port<Entry> {
  /**
   * @param isHeavy whether it is one item, of `HEAVY` or more.
   * @param written is called later where the answer is false: nothing more may be written before.
   * @returns whether it is written; else it waits for room.
   * @throws what keeps it from being written, ever.
   */
  write(batch: readonly Entry[], isHeavy: boolean, written: () => void): boolean;
  /** Waits, without the event loop, until what waits for room is written. @returns false where there is none. */
  flush(): boolean;
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
  readonly #port: Port<Entry>;
  readonly #join: (last: Entry, next: Entry) => boolean;
  /** From `#head` on; what is before has gone out, and is dropped now and then. */
  #waiting: Outgoing<Entry>[] = [];
  #head = 0;
  #weight = 0;
  /** At least what void items weigh that still wait. */
  #voidWeight = 0;
  #corked: boolean;
  /** The last message waits for room in the channel, which takes no more until then. */
  #isBlocked = false;
  /** When the first of what waits came (ms). */
  #waitsSince = 0;
  #lastBatch = 0;
  /** So many of the first that wait were in a message that could not be written: they go out one by one. */
  #suspects = 0;
  #scheduled = false;
  #closed = false;
  readonly #drained: (() => void)[] = [];
  /** Called once, when the outbox is overfull no more. */
  #relieved: (() => void) | undefined;

  /**
   * @param join appends an entry to the one before it where one can say both; else it answers false.
   * @param corked whether entries wait for `uncork`, because the other end is not there yet.
   */
  constructor(port: Port<Entry>, join: (last: Entry, next: Entry) => boolean, corked: boolean) {
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
    if (isAlone && this.#lastBatch === 1 && !this.#corked && this.#suspects === 0) return this.#flush();
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

  /**
   * Sends all that waits, and has the process wait for room: for one that is about to exit. What cannot be written fails, and
   * the rest is left out where the other end does not read.
   */
  flushNow(): void {
    this.#suspects = 0;
    let canWrite = this.#port.flush();
    while (canWrite && !this.#isEmpty) {
      const begin = this.#head;
      if (this.#sendNow(Number.POSITIVE_INFINITY) !== undefined) {
        const end = this.#head;
        this.#putBack(begin);
        while (this.#head < end) {
          const item = this.#waiting[this.#head] as Outgoing<Entry>;
          const own = this.#sendNow(1);
          if (own !== undefined) item.fail(own.error);
        }
      }
      canWrite = this.#port.flush();
    }
  }

  /** More waits than `push` would allow: the other end asks, and does not read the answers. */
  get isOverfull(): boolean {
    if (this.#corked) return false;
    return this.#weight > MAX_WAITING || this.#count > MAX_ITEMS;
  }

  /** Calls back once, as soon as it is overfull no more. */
  whenRelieved(relieved: () => void): void {
    this.#relieved = relieved;
    this.#tellRelieved();
  }

  /** Resolves when all is written, or the channel is closed. */
  drained(): Promise<void> {
    if (this.#closed || (this.#isEmpty && !this.#isBlocked)) return Promise.resolve();
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
    let weight = 0;
    do weight += this.#sendSome();
    while (weight < TURN && !this.#isEmpty && !this.#isBlocked && this.#suspects === 0);
    if (this.#head > this.#waiting.length / 2) this.#waiting = this.#takeWaiting();
    this.#tellRelieved();
    if (this.#isEmpty && !this.#isBlocked) this.#settleDrained();
    else this.#schedule();
  }

  /** Sends one message, where any of what waits still wants to go. @returns its weight. */
  #sendSome(): number {
    const begin = this.#head;
    const isSuspect = this.#suspects > 0;
    const { batch, weight, items, isHeavy } = this.#gather(isSuspect ? 1 : Number.POSITIVE_INFINITY);
    if (isSuspect) this.#suspects--;
    if (batch.length === 0) return weight;
    try {
      this.#isBlocked = !this.#port.write(batch, isHeavy, this.#written);
      this.#lastBatch = items;
    } catch (error) {
      this.#takeBack(begin, isSuspect, error);
    }
    return weight;
  }

  /** Takes the first that wait, as many as make one message. @param most of them. */
  #gather(most: number): { batch: Entry[]; weight: number; items: number; isHeavy: boolean } {
    const end = this.#head + most;
    const batch: Entry[] = [];
    let weight = 0;
    let items = 0;
    let isHeavy = false;
    while (!this.#isEmpty && this.#head < end && weight < BATCH && !isHeavy) {
      const item = this.#waiting[this.#head] as Outgoing<Entry>;
      isHeavy = item.weight >= HEAVY;
      if (isHeavy && batch.length > 0) return { batch, weight, items, isHeavy: false };
      this.#head++;
      this.#weight -= item.weight;
      if (this.#add(batch, item)) {
        weight += item.weight;
        items++;
      } else isHeavy = false;
    }
    return { batch, weight, items, isHeavy };
  }

  /**
   * The message with the items from `begin` on could not be written. One of them is to blame, or the depth of the stack that
   * their sender stood on: so they are tried again one by one, each in a turn of its own. What was alone fails.
   */
  #takeBack(begin: number, wasAlone: boolean, error: unknown): void {
    const items = this.#recall(begin);
    if (wasAlone) {
      for (const item of items) item.fail(error);
      return;
    }
    this.#suspects = items.length;
    this.#putBack(begin);
  }

  /** The items from `begin` on, which were recalled, wait again. */
  #putBack(begin: number): void {
    for (const { weight } of this.#waiting.slice(begin, this.#head)) this.#weight += weight;
    this.#head = begin;
  }

  /** @returns the items from `begin` on, which were in a message that could not be written. */
  #recall(begin: number): Outgoing<Entry>[] {
    const items = this.#waiting.slice(begin, this.#head);
    for (const item of items) item.recall();
    return items;
  }

  /** @param most how many items at most. @returns what has kept them from being written, where something has. */
  #sendNow(most: number): { readonly error: unknown } | undefined {
    const begin = this.#head;
    const { batch, isHeavy } = this.#gather(most);
    try {
      if (batch.length > 0) this.#port.write(batch, isHeavy, this.#written);
      return undefined;
    } catch (error) {
      this.#recall(begin);
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

  readonly #written = (): void => {
    this.#isBlocked = false;
    if (!this.#isEmpty) this.#schedule();
    else this.#settleDrained();
  };

  #tellRelieved(): void {
    const relieved = this.#relieved;
    if (relieved === undefined || this.isOverfull) return;
    this.#relieved = undefined;
    relieved();
  }

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
