/** The member's side of who is there: a heartbeat in the bucket `ballermann_members`, for as long as the member serves. */

import { randomUUID } from 'node:crypto';
import type { NatsConnection } from '@nats-io/transport-node';
import { MAX_TIMER } from '../arguments.js';
import { FleetBucket, unreachable, within } from './buckets.js';
import { onClosed, onReconnect } from './connection.js';
import { MEMBERS, memberKey } from './keys.js';
import { objectIn } from './wire.js';

/** What a member tells with each heartbeat. */
export interface MemberState {
  /** Replicas in rotation. */
  readonly alive: number;
  /** Replicas in rotation at the last refresh. */
  readonly original: number;
  /** Whether a window is open there, of the fleet or its own. */
  readonly paused: boolean;
  /** Calls by NATS that it has begun and not answered. */
  readonly unfinished: number;
  readonly host: string;
  readonly pid: number;
  readonly serialization: 'json' | 'advanced';
}

/** What is in the bucket. */
export interface HeartbeatData extends MemberState {
  /** ms without a heartbeat after which the member counts as gone. */
  readonly lapse: number;
  /** Grows with each heartbeat. */
  readonly beat: number;
}

export function heartbeatIn(bytes: Uint8Array): HeartbeatData | undefined {
  const { lapse, beat, alive, original, paused, unfinished, host, pid, serialization } =
    objectIn(bytes) ?? {};
  const numbers = [lapse, beat, alive, original, unfinished, pid];
  const isOne =
    numbers.every((number) => typeof number === 'number' && number >= 0) &&
    (lapse as number) <= MAX_TIMER &&
    typeof paused === 'boolean' &&
    typeof host === 'string' &&
    (serialization === 'json' || serialization === 'advanced');
  if (!isOne) return undefined;
  return { lapse, beat, alive, original, paused, unfinished, host, pid, serialization } as HeartbeatData;
}

export interface PresenceOptions {
  /** ms between two heartbeats. After three of them without one, a member counts as gone. @default 2,000 */
  readonly heartbeat?: number | undefined;
}

export interface Presence {
  /** Unique to this joining. */
  readonly id: string;
  /**
   * Whether others see this member as there: a heartbeat was confirmed within the last three. Where not (the process was
   * suspended, the server is out of reach), a window may have begun without this member's acknowledgement.
   */
  readonly isCurrent: boolean;
  /** How often it was current again after it had not been. */
  readonly returns: number;
  /** Has `listener` called after each such return. @returns what takes it back. */
  onReturn(listener: () => void): () => void;
  /** Has the state told: with the next heartbeat, and at once if `alive` or `paused` changed. */
  update(state: MemberState): void;
  /** Says that the member is gone. */
  leave(): Promise<void>;
}

/** ms between two heartbeats. */
export const HEARTBEAT = 2_000;
/** Heartbeats without one after which a member counts as gone. */
export const LAPSE = 3;

/**
 * Resolves once the server has the first heartbeat.
 * @param id where the member has one; else one is made.
 * @throws BallermannError ERR_DISCONNECTED.
 */
export async function announce(
  nc: NatsConnection,
  pool: string,
  id: string | undefined,
  state: () => MemberState,
  { heartbeat = HEARTBEAT }: PresenceOptions = {},
): Promise<Presence> {
  const bucket = await FleetBucket.open(nc, MEMBERS, LAPSE * heartbeat);
  const heart = new Heart(nc, bucket, pool, id ?? randomUUID(), state, heartbeat);
  await heart.start().catch((cause) => {
    throw unreachable(`the first heartbeat of pool '${pool}' was not stored`, cause);
  });
  return heart;
}

class Heart implements Presence {
  readonly id: string;
  readonly #bucket: FleetBucket;
  readonly #key: string;
  readonly #state: () => MemberState;
  readonly #heartbeat: number;
  readonly #listeners = new Set<() => void>();
  /** performance.now(): nobody lets this member lapse before. Counted from the sending of what was confirmed last. */
  #currentUntil = Number.POSITIVE_INFINITY;
  #returns = 0;
  #beats = 0;
  #told: MemberState | undefined;
  #beating: Promise<void> | undefined;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #left = false;
  readonly #offReconnect: () => void;
  readonly #offClosed: () => void;

  constructor(
    nc: NatsConnection,
    bucket: FleetBucket,
    pool: string,
    id: string,
    state: () => MemberState,
    heartbeat: number,
  ) {
    this.id = id;
    this.#bucket = bucket;
    this.#key = memberKey(pool, id);
    this.#state = state;
    this.#heartbeat = heartbeat;
    this.#offReconnect = onReconnect(nc, () => this.#beat());
    this.#offClosed = onClosed(nc, () => this.#stop());
  }

  get isCurrent(): boolean {
    return performance.now() < this.#currentUntil;
  }

  get returns(): number {
    return this.#returns;
  }

  async start(): Promise<void> {
    try {
      await this.#put();
    } catch (error) {
      this.#stop();
      throw error;
    }
    if (!this.#left) this.#schedule();
  }

  onReturn(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  update({ alive, paused }: MemberState): void {
    if (this.#told?.alive !== alive || this.#told.paused !== paused) this.#beat();
  }

  async leave(): Promise<void> {
    this.#stop();
    await this.#beating;
    await within(this.#bucket.delete(this.#key), this.#heartbeat).catch(() => {}); // it lapses
  }

  #stop(): void {
    this.#left = true;
    this.#offReconnect();
    this.#offClosed();
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    this.#timer = setTimeout(() => this.#beat(), this.#heartbeat);
  }

  /** One at a time, so that an older state does not come last. */
  #beat(): void {
    if (this.#left) return;
    if (this.#beating !== undefined) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#again = false;
    this.#beating = this.#put()
      .catch(() => {}) // the next one may get through
      .finally(() => {
        this.#beating = undefined;
        if (this.#left) return;
        if (this.#again) this.#beat();
        else this.#schedule();
      });
  }

  async #put(): Promise<void> {
    const state = this.#state();
    const data: HeartbeatData = { ...state, lapse: LAPSE * this.#heartbeat, beat: ++this.#beats };
    const sent = performance.now();
    this.#told = state;
    await within(
      this.#bucket.put(this.#key, JSON.stringify(data), { timeout: this.#heartbeat }),
      this.#heartbeat,
    );
    const hadLapsed = !this.isCurrent;
    this.#currentUntil = sent + LAPSE * this.#heartbeat;
    if (!hadLapsed) return;
    this.#returns++;
    for (const listener of [...this.#listeners]) listener();
  }
}
