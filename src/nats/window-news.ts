/**
 * Which window over the fleet is open, as one process knows it: from the coordinator's word, which comes with each renewal,
 * and from the key where that word may have been missed. The process times the lease by its own monotonic clock, from when it
 * saw the last renewal; the coordinator times it from when it sent that, so it gives up before anybody else does.
 */

import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { MAX_TIMER } from '../arguments.js';
import type { BallermannError } from '../errors.js';
import { type FleetBucket, within } from './buckets.js';
import { onReconnect, subscribe, unsubscribe } from './connection.js';
import { poolToken, windowSubject } from './keys.js';
import { objectIn } from './wire.js';

/** ms without a renewal after which a window is over, where its coordinator says nothing else. */
export const LEASE = 10_000;

/** What is stored under the key while a window is open. */
export interface WindowData {
  /** Unique to the window. */
  readonly id: string;
  /** ms without a renewal after which the window is over. */
  readonly lease: number;
}

/** A window that is open. The revision is the key's: it grows with each renewal. */
export interface OpenWindow extends WindowData {
  readonly revision: number;
}

/** What a coordinator says. */
export type WindowWord =
  | ({ readonly open: true } & OpenWindow)
  | { readonly open: false; readonly id: string };

export interface WindowListener {
  /** Another window is open, or none is any more. */
  changed?(window: OpenWindow | undefined): void;
  /** The one that is open was opened or renewed. */
  renewed?(window: OpenWindow): void;
  /** The one that was open has ended by this process's own clock: it may go on, and its renewals be lost. After `changed`. */
  lapsed?(): void;
}

/** Windows that have ended, which late words must not open again. */
const REMEMBERED = 32;

export class WindowNews {
  readonly #bucket: FleetBucket;
  readonly #key: string;
  readonly #listeners = new Set<WindowListener>();
  readonly #subscription: Subscription;
  readonly #offReconnect: () => void;
  /** By id, the revision up to which the window is known to be over. */
  readonly #past = new Map<string, number>();
  #current: OpenWindow | undefined;
  #lookTimer: NodeJS.Timeout | undefined;
  #lapseTimer: NodeJS.Timeout | undefined;
  #closed = false;
  #refused: BallermannError | undefined;

  private constructor(nc: NatsConnection, bucket: FleetBucket, pool: string) {
    this.#bucket = bucket;
    this.#key = poolToken(pool);
    this.#subscription = subscribe(nc, windowSubject(pool), (message) => this.#hear(message), {
      refused: (error) => {
        this.#refused = error;
      },
    });
    this.#offReconnect = onReconnect(nc, () => this.#lookAgain());
  }

  /**
   * Resolves once it is known whether a window is open. It listens before it looks, so nothing falls between the two.
   * @throws what reading the key throws; BallermannError ERR_DISCONNECTED where it may not listen.
   */
  static async follow(nc: NatsConnection, bucket: FleetBucket, pool: string): Promise<WindowNews> {
    const news = new WindowNews(nc, bucket, pool);
    try {
      await news.look();
      if (news.#refused !== undefined) throw news.#refused; // the server has said so by now
    } catch (error) {
      news.close();
      throw error;
    }
    return news;
  }

  get current(): OpenWindow | undefined {
    return this.#current;
  }

  /** The listener must not throw. @returns what takes it back. */
  on(listener: WindowListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when no window is open; at once where none is. */
  async ended(): Promise<void> {
    if (this.#current === undefined) return;
    await new Promise<void>((resolve) => {
      const off = this.on({
        changed: (window) => {
          if (window !== undefined) return;
          off();
          resolve();
        },
      });
    });
  }

  /** Reads the key, and takes in what it says. */
  async look(ms?: number): Promise<void> {
    const before = this.#current;
    const entry = await within(this.#bucket.get(this.#key), ms);
    if (this.#closed) return;
    if (entry === null || entry.operation !== 'PUT') {
      // What was opened since the question was asked is newer than the answer.
      if (before !== undefined && this.#current === before) this.#end(before.id, before.revision);
      return;
    }
    const data = windowIn(entry.value);
    if (data !== undefined) this.note({ ...data, revision: entry.revision });
  }

  /** A window is open, or goes on. What is older than what is known already changes nothing, and renews nothing. */
  note(window: OpenWindow): void {
    const { id, revision } = window;
    const current = this.#current;
    if (this.#closed || revision <= (this.#past.get(id) ?? 0)) return;
    if (current !== undefined && revision <= current.revision) return;
    if (current !== undefined && current.id !== id) this.#forget(current.id, Number.POSITIVE_INFINITY);
    this.#current = window;
    this.#time(window);
    if (current?.id !== id) for (const listener of [...this.#listeners]) listener.changed?.(window);
    for (const listener of [...this.#listeners]) listener.renewed?.(window);
  }

  /** Its coordinator says so. */
  noteEnd(id: string): void {
    this.#end(id, Number.POSITIVE_INFINITY);
  }

  close(): void {
    this.#closed = true;
    this.#offReconnect();
    unsubscribe(this.#subscription);
    this.#untime();
    this.#listeners.clear();
  }

  #hear(message: Msg): void {
    const word = wordIn(message.data);
    if (word === undefined) return; // of somebody else
    if (word.open) this.note({ id: word.id, lease: word.lease, revision: word.revision });
    else this.noteEnd(word.id);
  }

  /** @param revision up to which it is over: one that has only lapsed here may yet be renewed. */
  #end(id: string, revision: number): void {
    this.#forget(id, revision);
    if (this.#current?.id !== id) return;
    this.#current = undefined;
    this.#untime();
    for (const listener of [...this.#listeners]) listener.changed?.(undefined);
  }

  #forget(id: string, revision: number): void {
    this.#past.set(id, revision);
    if (this.#past.size > REMEMBERED) this.#past.delete(this.#past.keys().next().value as string);
  }

  #time({ id, lease, revision }: OpenWindow): void {
    this.#untime();
    // Two renewals are missing then: were they made, and not heard here?
    this.#lookTimer = setTimeout(() => this.#lookAgain(), (lease * 3) / 4);
    this.#lapseTimer = setTimeout(() => {
      this.#end(id, revision);
      for (const listener of [...this.#listeners]) listener.lapsed?.();
    }, lease);
  }

  #untime(): void {
    clearTimeout(this.#lookTimer);
    clearTimeout(this.#lapseTimer);
  }

  /** Where it fails, the next word, the next reconnection or the end of the lease says more. */
  #lookAgain(): void {
    this.look().catch(() => {});
  }
}

/** What is stored under a pool's key; undefined where somebody else has stored it. */
export function windowIn(bytes: Uint8Array): WindowData | undefined {
  const { id, lease } = objectIn(bytes) ?? {};
  const isOne = typeof id === 'string' && typeof lease === 'number' && lease > 0 && lease <= MAX_TIMER;
  return isOne ? { id, lease } : undefined;
}

function wordIn(bytes: Uint8Array): WindowWord | undefined {
  const { open, id, revision } = objectIn(bytes) ?? {};
  if (typeof id !== 'string') return undefined;
  if (open === false) return { open, id };
  const window = windowIn(bytes);
  return open === true && window && typeof revision === 'number' ? { open, ...window, revision } : undefined;
}
