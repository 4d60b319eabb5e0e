/**
 * Looks at the event loops of a supervisor's replicas, all with one timer, and says which are blocked, turn again, or
 * are hung. The loops' clocks lie in shared memory, so a look costs no message.
 */

import { hrtime } from 'node:process';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import { Liveness, ObservedTime } from './liveness.js';

export interface WatchLimits {
  /** ms; Infinity: never. */
  readonly blockedAfter: number;
  /** ms; Infinity: never. */
  readonly hangTimeout: number;
}

/** What is told of the replicas, with for how many ms they have been, or were, stuck. */
export interface WatchListener {
  blocked(replica: ReplicaProcess, ms: number): void;
  unblocked(replica: ReplicaProcess, ms: number): void;
  /** At most once a replica. */
  hung(replica: ReplicaProcess, ms: number): void;
}

/** Looks come at a fraction of the shortest limit: when a turn began is then known well enough to aim at the limit. */
const LOOKS = 4; // within that limit
/** Closer looks would cost a primary more than they tell: a healthy turn may take as long. */
export const SHORTEST_LOOK = 10; // ms
const LONGEST = 1000; // ms

/** While a replica is blocked, for its return. */
const RETURN = 20; // ms

/** How closely a limit is aimed at. */
const AIM = 3; // ms

interface Watched {
  readonly life: Liveness;
  /** A sign of life was asked for, since it was last seen to be well. */
  probed: boolean;
  hung: boolean;
}

export class Watch {
  readonly #blockedAfter: number;
  readonly #hangTimeout: number;
  readonly #shortest: number;
  /** ms between looks while nothing is wrong. */
  readonly #interval: number;
  readonly #listener: WatchListener;
  readonly #watched = new Map<ReplicaProcess, Watched>();
  #timer: NodeJS.Timeout | undefined;
  #observed: ObservedTime | undefined;

  constructor({ blockedAfter, hangTimeout }: WatchLimits, listener: WatchListener) {
    this.#blockedAfter = blockedAfter;
    this.#hangTimeout = hangTimeout;
    this.#shortest = Math.min(blockedAfter, hangTimeout);
    this.#interval = Math.min(Math.max(this.#shortest / LOOKS, SHORTEST_LOOK), LONGEST);
    this.#listener = listener;
  }

  add(replica: ReplicaProcess): void {
    if (this.#shortest === Number.POSITIVE_INFINITY) return;
    this.#watched.set(replica, { life: new Liveness(), probed: false, hung: false });
    if (this.#timer !== undefined) return;
    this.#observed = new ObservedTime(this.#interval, hrtime.bigint());
    this.#lookIn(this.#interval);
  }

  remove(replica: ReplicaProcess): void {
    if (!this.#watched.delete(replica) || this.#watched.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #lookIn(ms: number): void {
    this.#timer = setTimeout(() => this.#look(), Math.ceil(ms)).unref();
  }

  #look(): void {
    const now = hrtime.bigint();
    const ms = this.#observed?.passed(now) ?? 0;
    for (const [replica, watched] of this.#watched) this.#lookAt(replica, watched, ms, now);
    if (this.#watched.size > 0) this.#lookIn(this.#delay());
  }

  #lookAt(replica: ReplicaProcess, watched: Watched, ms: number, now: bigint): void {
    const { life } = watched;
    const before = life.stuck;
    life.look(replica.look(), ms, now);
    const { stuck, silent } = life;
    if (replica.blocked && stuck < this.#blockedAfter) this.#listener.unblocked(replica, before);
    if (!replica.blocked && stuck >= this.#blockedAfter) this.#listener.blocked(replica, stuck);
    if (silent < this.#shortest / 2) watched.probed = false;
    else if (!watched.probed) {
      watched.probed = true;
      replica.probe();
    }
    if (watched.hung || silent < this.#hangTimeout) return;
    watched.hung = true;
    this.#listener.hung(replica, stuck);
  }

  /** ms until the next look: at a limit, if one is reached earlier than the interval is over. */
  #delay(): number {
    let delay = this.#interval;
    for (const [{ blocked }, { life }] of this.#watched) {
      if (blocked) delay = Math.min(delay, RETURN);
      if (life.stuck === 0) continue;
      if (life.stuck < this.#blockedAfter) delay = Math.min(delay, this.#blockedAfter - life.stuck);
      if (life.silent < this.#hangTimeout) delay = Math.min(delay, this.#hangTimeout - life.silent);
    }
    return Math.max(delay, AIM);
  }
}
