/**
 * The coordinator's side of a window over the fleet: takes the key of the pool, waits until every member that is there has
 * acknowledged, runs the function while it renews the key, and gives the key up.
 *
 * The key is the lock; its revision when it was taken is the fencing token. A window without an end (its coordinator died, or
 * cannot reach the server) is over when nobody has seen a renewal for the length of its lease: the next coordinator takes the
 * key over, by the very revision that it has seen for so long, so that a renewal in the last moment makes it fail.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { unlessAborted, withDeadline } from '../aborts.js';
import { checkFunction, checkMilliseconds, checkOptions, checkSignal } from '../arguments.js';
import { deferred } from '../deferred.js';
import { BallermannError } from '../errors.js';
import { type WindowContext, type WindowOptions, Windows } from '../primary/pools/windows.js';
import { type FleetBucket, keySubject, within } from './buckets.js';
import { checkConnection, isConnected, onForbidden, publish, subscribe, unsubscribe } from './connection.js';
import type { Fleet } from './fleet-members.js';
import { acknowledgementSubject, poolToken, WINDOWS, windowSubject } from './keys.js';
import type { Acknowledgement } from './member-window.js';
import { LEASE, type WindowData, type WindowWord, windowIn } from './window-news.js';
import { objectIn } from './wire.js';

/** What the function of a window over the fleet is given. */
export interface FleetWindowContext extends WindowContext {
  /**
   * Grows with each window of the pool: a store that refuses a smaller one than it has seen is safe from a function that
   * goes on after its window was lost.
   */
  readonly token: number;
}

export interface FleetWindowsOptions {
  /** ms after which a window is over whose coordinator has died or cannot reach the server. @default 10,000 */
  readonly lease?: number | undefined;
}

/** Renewals in a lease. */
const RENEWALS = 3;
/** Of the lease: the coordinator gives up so much earlier than others do, for clocks that do not run equally fast. */
const MARGIN = 0.1;
/** ms between two attempts at what failed, and between two looks at a key that another one has. */
const AGAIN = 50;
/** Something else than a window has the key: it lapses as one. */
const UNKNOWN: WindowData = { id: '', lease: LEASE };
/** ms that the end of a window waits for the key to be deleted. The members know of the end before. */
const GIVING_UP = 2_000;
/** For the error of a window whose time is over. */
const NO_ANSWER = 'the server did not answer';

export class FleetWindows {
  readonly #nc: NatsConnection;
  readonly #pool: string;
  readonly #fleet: Fleet;
  readonly #lease: number;
  /** Those that this process opens: in call order, and none from inside another. */
  readonly #own: Windows;
  readonly #endings = new Set<AbortController>();

  constructor(nc: NatsConnection, pool: string, fleet: Fleet, { lease = LEASE }: FleetWindowsOptions = {}) {
    this.#nc = nc;
    this.#pool = pool;
    this.#fleet = fleet;
    this.#lease = lease;
    this.#own = new Windows(pool, { open: () => {}, close: () => {} });
  }

  /** For what waits until no window is open. @throws BallermannError ERR_PAUSED inside a window of this pool. */
  refuseInside(what: string): void {
    this.#own.refuseInside(what);
  }

  /**
   * Runs `fn` while no member of the fleet does anything that goes through the pool.
   * @param wait ms between the last acknowledgement and `fn`.
   * @returns what `fn` returned.
   * @throws what `fn` threw. BallermannError: ERR_TIMEOUT, which names who had not acknowledged; ERR_DISCONNECTED if the
   * lease was lost, the connection is closed, or the server has no JetStream or does not let this client do it; ERR_PAUSED
   * from inside a window of this pool. The signal's reason.
   */
  async applyWithin<T>(
    fn: (context: FleetWindowContext) => T | PromiseLike<T>,
    wait = 0,
    options: WindowOptions = {},
  ): Promise<T> {
    checkFunction('fn', fn);
    checkMilliseconds('wait', wait);
    checkOptions('options', options, ['signal', 'timeout']);
    checkSignal('options.signal', options.signal);
    if (options.timeout !== undefined) checkMilliseconds('options.timeout', options.timeout);
    options.signal?.throwIfAborted();
    this.refuseInside('another window');
    checkConnection(this.#nc);
    let state = (): string => 'another window of the pool was still open';
    const late = (): Error =>
      new BallermannError(
        'ERR_TIMEOUT',
        `the window of pool '${this.#pool}' over the fleet did not end within ${options.timeout} ms: ${state()}`,
      );
    return withDeadline(options, late, async (ending) => {
      const { signal } = ending;
      this.#endings.add(ending);
      const needed = [windowSubject(this.#pool), keySubject(WINDOWS, poolToken(this.#pool))];
      const off = onForbidden(this.#nc, (subject, error) => {
        if (needed.includes(subject)) ending.abort(error);
      });
      const acknowledgements = new Acknowledgements(this.#nc, this.#pool, this.#fleet, (error) =>
        ending.abort(error),
      );
      let key: Key | undefined;
      const open = async (): Promise<void> => {
        state = () => NO_ANSWER;
        await this.#fleet.known(signal);
        key = new Key(this.#nc, this.#fleet.windows.bucket, this.#pool, this.#lease, (error) =>
          ending.abort(error),
        );
        await this.#take(key, signal, (why) => {
          state = () => why;
        });
        acknowledgements.of(key.id);
        key.announce();
        state = () => acknowledgements.missing();
        await this.#listed(signal);
        do {
          await unlessAborted(signal, acknowledgements.complete());
          await this.#listed(signal); // if it was cut off, it has let members lapse that are there
        } while (!acknowledgements.isComplete);
        state = () => 'its wait was not over';
        if (wait > 0) await sleep(wait, undefined, { signal });
        state = () => 'its function had not finished';
        key.check();
      };
      try {
        return await this.#own.run(open, () => fn({ signal, token: (key as Key).token }), { signal });
      } finally {
        this.#endings.delete(ending);
        off();
        acknowledgements.close();
        const givenUp = (key as Key | undefined)?.giveUp();
        if (isConnected(this.#nc)) await within(givenUp ?? Promise.resolve(), GIVING_UP).catch(() => {});
      }
    });
  }

  /** Ends all windows, those that are open and those that wait for their turn, and refuses further ones. */
  close(reason: BallermannError): void {
    this.#own.close(reason);
    for (const ending of this.#endings) ending.abort(reason);
  }

  /**
   * Waits for the end of whoever has the key, and takes it.
   * @param waitsFor is told what it waits for.
   */
  async #take(key: Key, signal: AbortSignal, waitsFor: (what: string) => void): Promise<void> {
    const { bucket, news } = this.#fleet.windows;
    const changed = new Wake();
    const off = news.on({ changed: () => changed.wake() });
    /** Which revision has been the key's since when. */
    let seen = { revision: 0, at: 0 };
    try {
      for (;;) {
        signal.throwIfAborted();
        if (this.#nc.isClosed()) throw closedConnection();
        try {
          const entry = await within(bucket.get(poolToken(this.#pool)), this.#lease / RENEWALS);
          waitsFor('another window of the pool was still open');
          const now = performance.now();
          const revision = entry?.revision ?? 0;
          const holder = entry?.operation === 'PUT' ? (windowIn(entry.value) ?? UNKNOWN) : undefined;
          if (revision !== seen.revision) seen = { revision, at: now };
          const isFree =
            holder === undefined ||
            holder.id === key.id || // the answer to an attempt was lost
            now - seen.at > holder.lease * (1 + MARGIN);
          if (isFree && (await key.take(revision))) return;
        } catch {
          waitsFor(NO_ANSWER);
        }
        await unlessAborted(signal, changed.next(AGAIN + AGAIN * Math.random()));
      }
    } finally {
      off();
    }
  }

  /** Once this has read who is there, whoever is not listed comes later, and finds the key (see member-window.ts). */
  async #listed(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await this.#fleet.list();
      } catch {
        await sleep(AGAIN, undefined, { signal });
      }
    }
  }
}

function closedConnection(): BallermannError {
  return new BallermannError('ERR_DISCONNECTED', 'the connection to NATS is closed');
}

/** The key of the pool, as long as this window has it. */
class Key {
  readonly id = randomUUID();
  readonly #nc: NatsConnection;
  readonly #bucket: FleetBucket;
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
    bucket: FleetBucket,
    pool: string,
    lease: number,
    lost: (error: BallermannError) => void,
  ) {
    this.#nc = nc;
    this.#bucket = bucket;
    this.#pool = pool;
    this.#lease = lease;
    this.#lost = lost;
  }

  /** The first revision. */
  get token(): number {
    return this.#token;
  }

  /**
   * Also where it is ours already, by an attempt whose answer was lost: the lease is timed from an attempt that has succeeded.
   * @param previous the revision that the key must have; 0 where there is none.
   * @returns whether it is ours; false also where the answer does not come, and the next look says more.
   */
  async take(previous: number): Promise<boolean> {
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
    const entry = await within(this.#bucket.get(poolToken(this.#pool)), this.#lease / RENEWALS);
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

/** Who has said that nothing runs there any more. */
class Acknowledgements {
  readonly #fleet: Fleet;
  readonly #from = new Set<string>();
  readonly #changed = new Wake();
  readonly #close: () => void;
  #id: string | undefined;

  /** @param refused called where they cannot be heard. */
  constructor(nc: NatsConnection, pool: string, fleet: Fleet, refused: (error: BallermannError) => void) {
    this.#fleet = fleet;
    const subject = acknowledgementSubject(pool);
    const subscription = subscribe(nc, subject, (message) => this.#hear(message.data), { refused });
    const off = fleet.onGone(() => this.#changed.wake());
    this.#close = () => {
      off();
      unsubscribe(subscription);
    };
  }

  of(id: string): void {
    this.#id = id;
  }

  get isComplete(): boolean {
    return this.#absent().length === 0;
  }

  /** Resolves when each member that is there has acknowledged. One whose heartbeat has lapsed is waited for no longer. */
  async complete(): Promise<void> {
    while (!this.isComplete) await this.#changed.next();
  }

  missing(): string {
    const absent = this.#absent().map(({ host, pid, id }) => `${host} (pid ${pid}, member ${id})`);
    return absent.length === 0
      ? 'it is not known who is there'
      : `not acknowledged by ${absent.length} of ${this.#fleet.members().length} members: ${absent.join(', ')}`;
  }

  close(): void {
    this.#close();
    this.#changed.wake();
  }

  #absent(): ReturnType<Fleet['members']> {
    return this.#fleet.members().filter(({ id }) => !this.#from.has(id));
  }

  #hear(bytes: Uint8Array): void {
    const { member, id } = (objectIn(bytes) ?? {}) as Partial<Acknowledgement>;
    if (id === undefined || id !== this.#id || typeof member !== 'string') return; // of another window, or of somebody else
    this.#from.add(member);
    this.#changed.wake();
  }
}

/** Something has changed: look again. */
class Wake {
  #next = deferred();

  /** @param ms after which it resolves all the same. */
  async next(ms?: number): Promise<void> {
    const { promise } = this.#next;
    if (ms === undefined) return promise;
    const timer = setTimeout(() => this.wake(), ms);
    await promise;
    clearTimeout(timer);
  }

  wake(): void {
    this.#next.resolve();
    this.#next = deferred();
  }
}
