/**
 * The key of a window over the fleet: the lock. Its revision when it was taken is the fencing token. A window without an end
 * (its coordinator died, or cannot reach the server) is over when nobody has seen a renewal for the length of its lease: the
 * next coordinator takes the key over, by the very revision that it has seen for so long, so that a renewal in the last moment
 * makes it fail.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { unlessAborted } from '../aborts.js';
import { BallermannError } from '../errors.js';
import { type FleetBucket, within } from './buckets.js';
import { closedConnection, publish } from './connection.js';
import type { Fleet } from './fleet-members.js';
import { poolToken, windowSubject } from './keys.js';
import { Wake } from './wake.js';
import { LEASE, type WindowData, type WindowNews, type WindowWord, windowIn } from './window-news.js';

/** Renewals in a lease. */
const RENEWALS = 3;
/** Of the lease: the coordinator gives up so much earlier than others do, for clocks that do not run equally fast. */
const MARGIN = 0.1;
/** ms between two attempts at what failed, and between two looks at a key that another one has. */
const AGAIN = 50;
/** Something else than a window has the key: it lapses as one. */
const UNKNOWN: WindowData = { id: '', lease: LEASE };

/** For the error of a window whose time is over. */
export const NO_ANSWER = 'the server did not answer';

/** The pool's key, as one window takes it, renews it and gives it up. */
export class WindowKey {
  readonly id = randomUUID();
  readonly #nc: NatsConnection;
  readonly #bucket: FleetBucket;
  readonly #news: WindowNews;
  readonly #pool: string;
  readonly #lease: number;
  readonly #lost: (error: BallermannError) => void;
  #token = 0;
  #revision = 0;
  /** performance.now(): others may take it for over from soon after. Counted from when the last renewal was sent. */
  #until = 0;
  #over = false;
  /** What may have changed the key last; undefined where nothing was tried. */
  #pending: Promise<unknown> | undefined;
  #renewTimer: NodeJS.Timeout | undefined;
  #lossTimer: NodeJS.Timeout | undefined;

  constructor(
    nc: NatsConnection,
    { bucket, news }: Fleet['windows'],
    pool: string,
    lease: number,
    lost: (error: BallermannError) => void,
  ) {
    this.#nc = nc;
    this.#bucket = bucket;
    this.#news = news;
    this.#pool = pool;
    this.#lease = lease;
    this.#lost = lost;
  }

  /** The first revision. */
  get token(): number {
    return this.#token;
  }

  /**
   * Waits for the end of whoever has the key, and takes it.
   * @param waitsFor is told what it waits for.
   */
  async acquire(signal: AbortSignal, waitsFor: (what: string) => void): Promise<void> {
    const changed = new Wake();
    const off = this.#news.on({ changed: () => changed.wake() });
    /** Which revision has been the key's since when. */
    let seen = { revision: 0, at: 0 };
    try {
      for (;;) {
        signal.throwIfAborted();
        if (this.#nc.isClosed()) throw closedConnection();
        try {
          const entry = await this.#read();
          waitsFor('another window of the pool was still open');
          const now = performance.now();
          const revision = entry?.revision ?? 0;
          const holder = entry?.operation === 'PUT' ? (windowIn(entry.value) ?? UNKNOWN) : undefined;
          if (revision !== seen.revision) seen = { revision, at: now };
          const isFree =
            holder === undefined ||
            holder.id === this.id || // the answer to an attempt was lost
            now - seen.at > holder.lease * (1 + MARGIN);
          if (isFree && (await this.#take(revision))) return;
        } catch {
          waitsFor(NO_ANSWER);
        }
        await unlessAborted(signal, changed.next(AGAIN + AGAIN * Math.random()));
      }
    } finally {
      off();
    }
  }

  /** Tells the members. */
  announce(): void {
    this.#say({ open: true, id: this.id, lease: this.#lease, revision: this.#revision });
  }

  /** @throws BallermannError ERR_DISCONNECTED if the lease is over. */
  check(): void {
    if (this.#over || performance.now() >= this.#until) throw this.#lossOf('it was not renewed in time');
  }

  /** Reopens the fleet. Never throws: a key that cannot be deleted lapses. */
  async giveUp(): Promise<void> {
    this.#stop();
    if (this.#pending === undefined) return;
    const word: WindowWord = { open: false, id: this.id };
    this.#say(word); // the members need not wait for the server's disk
    await this.#pending.catch(() => {});
    const end = performance.now() + this.#lease;
    while (performance.now() < end && !this.#nc.isClosed()) {
      try {
        const revision = await this.#ownRevision();
        if (revision === undefined) break;
        await within(
          this.#bucket.delete(poolToken(this.#pool), { previousSeq: revision }),
          this.#lease / RENEWALS,
        );
        break;
      } catch {
        await sleep(AGAIN);
      }
    }
    this.#say(word); // for whoever has read the key meanwhile
  }

  /**
   * Also where it is ours already, by an attempt whose answer was lost: the lease is timed from an attempt that has succeeded.
   * @param previous the revision that the key must have; 0 where there is none.
   * @returns whether it is ours; false also where the answer does not come, and the next look says more.
   */
  async #take(previous: number): Promise<boolean> {
    if (this.#over) return false;
    const sent = performance.now();
    const taking = this.#put(previous);
    this.#pending = taking;
    try {
      this.#revision = await taking;
    } catch {
      return false;
    }
    this.#token = this.#revision;
    this.#renewed(sent);
    return !this.#over;
  }

  #read(): ReturnType<FleetBucket['get']> {
    return within(this.#bucket.get(poolToken(this.#pool)), this.#lease / RENEWALS);
  }

  #put(previous: number): Promise<number> {
    const data: WindowData = { id: this.id, lease: this.#lease };
    const timeout = this.#lease / RENEWALS / 2;
    return within(
      this.#bucket.put(poolToken(this.#pool), JSON.stringify(data), { previousSeq: previous, timeout }),
      timeout,
    );
  }

  /** @param sent performance.now(), when what has succeeded was sent: others have seen it later. */
  #renewed(sent: number): void {
    clearTimeout(this.#lossTimer);
    if (this.#over) return;
    this.#until = sent + this.#lease * (1 - MARGIN);
    this.#lossTimer = setTimeout(
      () => this.#lose('it was not renewed in time'),
      this.#until - performance.now(),
    );
    this.#renewTimer = setTimeout(() => {
      this.#pending = this.#renew();
    }, this.#lease / RENEWALS);
  }

  /** Tries until it has succeeded, another has the key, or the lease is over. */
  async #renew(): Promise<void> {
    while (!this.#over) {
      const sent = performance.now();
      try {
        this.#revision = await this.#put(this.#revision);
        if (!this.#over) this.announce();
        return this.#renewed(sent);
      } catch {
        const revision = await this.#ownRevision().catch(() => this.#revision);
        if (revision === undefined) return this.#lose('another coordinator has the key, or it has expired');
        this.#revision = revision; // another one where the answer to a renewal was lost
        await sleep(AGAIN);
      }
    }
  }

  /** The key's revision; undefined where it is not ours (any more). */
  async #ownRevision(): Promise<number | undefined> {
    const entry = await this.#read();
    if (entry?.operation !== 'PUT') return undefined;
    return windowIn(entry.value)?.id === this.id ? entry.revision : undefined;
  }

  #lose(why: string): void {
    if (this.#over) return;
    this.#stop();
    this.#lost(this.#lossOf(why));
  }

  #lossOf(why: string): BallermannError {
    return new BallermannError(
      'ERR_DISCONNECTED',
      `the lease of the window of pool '${this.#pool}' over the fleet was lost: ${why}. Members may be working again`,
    );
  }

  #stop(): void {
    this.#over = true;
    clearTimeout(this.#renewTimer);
    clearTimeout(this.#lossTimer);
  }

  #say(word: WindowWord): void {
    publish(this.#nc, windowSubject(this.#pool), JSON.stringify(word));
  }
}
