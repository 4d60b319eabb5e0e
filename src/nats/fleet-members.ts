/** The caller's side of who is there: the members of a fleet as their heartbeats show them, and whether a window is open. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { unlessAborted } from '../aborts.js';
import type { BallermannError } from '../errors.js';
import { FleetBucket, isUnanswered, keySubject, unreachable, within } from './buckets.js';
import { isConnected, onClosed, onReconnect, subscribe, unsubscribe } from './connection.js';
import { MEMBERS, memberKey, WINDOWS } from './keys.js';
import { HEARTBEAT, heartbeatIn, LAPSE, type MemberState } from './presence.js';
import { LEASE, WindowNews } from './window-news.js';

/** A machine's pool that serves the fleet, as its last heartbeat showed it. */
export interface Member extends MemberState {
  readonly id: string;
}

export interface FleetView {
  /** Those whose heartbeat has not lapsed, in the order of their ids. */
  members(): readonly Member[];
  /**
   * Whether a member's heartbeat has lapsed that the server may still give calls to: its process or its machine hangs, or the
   * network is cut, and the server notices that minutes later.
   */
  readonly hasSilent: boolean;
  /** Whether a window over the fleet is open. */
  readonly windowOpen: boolean;
  /** Resolves when no window is open; at once where none is. Rejects with the signal's reason. */
  windowEnded(signal: AbortSignal): Promise<void>;
  /** Called with the id of a member that left or whose heartbeat lapsed. @returns what takes it back. */
  onGone(listener: (id: string) => void): () => void;
  /**
   * Resolves once the members that were there are known. Each look at it after a failure tries again.
   * @throws BallermannError ERR_DISCONNECTED.
   */
  readonly ready: Promise<void>;
  close(): void;
}

interface Seen {
  member: Member;
  lapse: number;
  beat: number;
  /** performance.now() */
  lapsesAt: number;
}

/** ms until a server is asked again that has not answered. */
const AGAIN = 50;

/** ms that a timer may be late before the process counts as one that was suspended: the others may have beaten meanwhile. */
const SUSPENDED = 250;

/** ms that the server may take to answer before it counts as out of reach. */
const ANSWERED_WITHIN = 1_000;

/** ms after which a server has dropped a client that does not answer: it asks every 2 minutes, and again, by default. */
const DROPPED_AFTER = 600_000;

export class Fleet implements FleetView {
  readonly #nc: NatsConnection;
  readonly #pool: string;
  /** ms: of the windows that are opened here. The bucket must not drop a key before that. */
  readonly #lease: number;
  readonly #subscription: Subscription;
  readonly #offReconnect: () => void;
  readonly #offClosed: () => void;
  readonly #gone = new Set<(id: string) => void>();
  readonly #seen = new Map<string, Seen>();
  /** Those in #seen, in order: calls ask for them often. Undefined after a change. */
  #members: readonly Member[] | undefined;
  /** The last heartbeats of those who have lapsed, which stay in the bucket for some time. */
  readonly #lapsed = new Map<string, number>();
  /** Those who have lapsed and may still be sent something: until when (performance.now()), in this order. */
  readonly #silent = new Map<string, number>();
  #starting: Promise<void> | undefined;
  #buckets: { readonly members: FleetBucket; readonly windows: FleetBucket } | undefined;
  #news: WindowNews | undefined;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #closed = false;
  #refused: BallermannError | undefined;

  /** Listens from the start, so that whoever comes while those who are there are read is not missed. */
  constructor(nc: NatsConnection, pool: string, lease = LEASE) {
    this.#nc = nc;
    this.#pool = pool;
    this.#lease = lease;
    this.#subscription = subscribe(
      nc,
      keySubject(MEMBERS, memberKey(pool, '*')),
      (message) => this.#hear(message),
      {
        refused: (error) => {
          this.#refused = error;
        },
      },
    );
    this.#offReconnect = onReconnect(nc, () => this.#reconnected());
    this.ready.catch(() => {}); // whoever asks learns it
    this.#offClosed = onClosed(nc, () => this.close()); // its timers would keep the process alive
  }

  get ready(): Promise<void> {
    this.#starting ??= this.#start().catch((error) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /**
   * As `ready`, but tries again as long as the server gives no answer. Rejects with the signal's reason.
   * @throws BallermannError ERR_DISCONNECTED where another try would not help.
   */
  async known(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      try {
        await unlessAborted(signal, this.ready);
        return;
      } catch (error) {
        if (!isUnanswered(error)) throw error;
        await unlessAborted(signal, sleep(AGAIN));
      }
    }
  }

  members(): readonly Member[] {
    this.#members ??= [...this.#seen.values()]
      .map(({ member }) => member)
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    return this.#members;
  }

  get hasSilent(): boolean {
    for (const [id, until] of this.#silent) {
      if (until > performance.now()) return true;
      this.#silent.delete(id);
    }
    return false;
  }

  get windowOpen(): boolean {
    return this.#news?.current !== undefined;
  }

  async windowEnded(signal: AbortSignal): Promise<void> {
    await unlessAborted(signal, this.#news?.ended() ?? Promise.resolve());
  }

  onGone(listener: (id: string) => void): () => void {
    this.#gone.add(listener);
    return () => this.#gone.delete(listener);
  }

  /** For the coordinator, once `ready` has resolved. */
  get windows(): { readonly bucket: FleetBucket; readonly news: WindowNews } {
    return { bucket: this.#buckets?.windows as FleetBucket, news: this.#news as WindowNews };
  }

  /** Reads who is there now, those included whose heartbeats have not been heard here. Forgets nobody. */
  async list(): Promise<void> {
    const { members } = this.#buckets ?? {};
    if (members === undefined) return;
    const entries = await within(members.entries(memberKey(this.#pool, '*')));
    const stored = new Set<string>();
    for (const { key, value } of entries) {
      const id = key.slice(key.lastIndexOf('.') + 1);
      stored.add(id);
      if (!this.#seen.has(id)) this.#see(id, value);
    }
    for (const id of this.#lapsed.keys()) if (!stored.has(id)) this.#lapsed.delete(id);
  }

  close(): void {
    this.#closed = true;
    this.#offReconnect();
    this.#offClosed();
    unsubscribe(this.#subscription);
    clearTimeout(this.#timer);
    this.#news?.close();
    this.#gone.clear();
  }

  async #start(): Promise<void> {
    const members = await FleetBucket.open(this.#nc, MEMBERS, LAPSE * HEARTBEAT);
    const windows = await FleetBucket.open(this.#nc, WINDOWS, Math.max(this.#lease, LEASE));
    try {
      this.#buckets = { members, windows };
      await this.list();
      if (this.#refused !== undefined) throw this.#refused; // the server has said so by now
      this.#news = await WindowNews.follow(this.#nc, windows, this.#pool);
      if (this.#closed) this.#news.close();
    } catch (cause) {
      throw unreachable(`the members of pool '${this.#pool}' cannot be read`, cause);
    }
  }

  /** What is put into the bucket is published under its key's subject: no consumer in the server is needed to hear it. */
  #hear(message: Msg): void {
    const id = message.subject.slice(message.subject.lastIndexOf('.') + 1);
    if (message.headers?.get('KV-Operation')) {
      this.#silent.delete(id); // it has left
      this.#lose(id);
    } else {
      this.#see(id, message.data);
    }
  }

  #see(id: string, value: Uint8Array): void {
    if (this.#closed) return;
    const data = heartbeatIn(value);
    if (data === undefined) return; // of somebody else
    const { lapse, beat, ...state } = data;
    if (beat <= (this.#lapsed.get(id) ?? 0)) return;
    this.#lapsed.delete(id);
    this.#silent.delete(id);
    this.#members = undefined;
    this.#seen.set(id, { member: { id, ...state }, lapse, beat, lapsesAt: performance.now() + lapse });
    this.#schedule();
  }

  #lose(id: string): void {
    if (!this.#seen.delete(id)) return;
    this.#members = undefined;
    for (const listener of [...this.#gone]) listener(id);
  }

  #schedule(): void {
    const next = Math.min(...[...this.#seen.values()].map(({ lapsesAt }) => lapsesAt));
    if (this.#closed || next >= this.#dueAt || next === Number.POSITIVE_INFINITY) return;
    clearTimeout(this.#timer);
    this.#dueAt = next;
    this.#timer = setTimeout(() => void this.#sweep(), Math.max(next - performance.now(), 1));
  }

  async #sweep(): Promise<void> {
    const now = performance.now();
    const late = now - this.#dueAt;
    this.#dueAt = Number.POSITIVE_INFINITY;
    if ([...this.#seen.values()].some(({ lapsesAt }) => lapsesAt <= now)) {
      // Whoever hears nobody cannot say that they are gone: the network is silent, or this process was suspended.
      if (late > SUSPENDED || !(await this.#isAnswered())) this.#renewAll();
      else this.#letLapse(now);
    }
    this.#schedule();
  }

  /** Whether the server answers. What it had sent before has been heard then. */
  async #isAnswered(): Promise<boolean> {
    if (!isConnected(this.#nc)) return false;
    return within(this.#nc.flush(), ANSWERED_WITHIN).then(
      () => true,
      () => false,
    );
  }

  #letLapse(now: number): void {
    for (const [id, { lapsesAt, beat }] of this.#seen) {
      if (lapsesAt > now) continue;
      this.#lapsed.set(id, beat);
      this.#silent.set(id, now + DROPPED_AFTER);
      this.#lose(id);
    }
  }

  #renewAll(): void {
    const now = performance.now();
    for (const seen of this.#seen.values()) seen.lapsesAt = now + seen.lapse;
  }

  #reconnected(): void {
    this.#renewAll();
    this.list().catch(() => {}); // their next heartbeats show them
  }
}
