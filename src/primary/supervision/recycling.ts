/**
 * Replaces replicas that have served enough: requests, age or memory above a limit. One at a time, by the road of a
 * reload, so a replica stays until the one that comes after it is ready.
 */

import { performance } from 'node:perf_hooks';
import type { BallermannError } from '../../errors.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import type { Child } from './child.js';
import { type Crew, replace } from './replacement.js';
import { Backoff } from './restart-policy.js';
import type { RecycleEvent } from './supervisor-events.js';
import type { RecycleLimits, RecycleReason, SupervisorSettings } from './supervisor-options.js';

/** Whether there is anything to look at. */
export function hasLimits(limits: RecycleLimits): boolean {
  return Object.values(limits).some((limit) => limit < Number.POSITIVE_INFINITY);
}

/** ms between looks at the replicas. */
const LOOK = 250;

/** Up to this part of a limit is taken off, by chance, so that replicas of one age do not all go together. */
const JITTER = 0.1;

/** ms; after failures, or where replicas reach a limit as soon as they are up. */
const BACKOFF = { initial: 1_000, max: 60_000 };

export class Recycling {
  readonly #crew: Crew;
  readonly #settings: () => SupervisorSettings;
  readonly #backoff: Backoff;
  readonly #timer: NodeJS.Timeout;
  /** Each replica's own, with the jitter. */
  readonly #own = new WeakMap<ReplicaProcess, RecycleLimits>();
  #notBefore = 0;
  #busy = false;

  /** @param settings those of the next start. */
  constructor(crew: Crew, settings: () => SupervisorSettings) {
    this.#crew = crew;
    this.#settings = settings;
    this.#backoff = new Backoff(BACKOFF, settings().healthyAfter);
    this.#timer = setInterval(() => this.#look(), LOOK).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    if (this.#busy || performance.now() < this.#notBefore) return;
    for (const child of this.#crew.staying()) {
      const event = this.#reached(child);
      if (event === undefined) continue;
      this.#busy = true;
      void this.#recycle(child, event);
      return;
    }
  }

  #reached({ replica, id, upSince }: Child): RecycleEvent | undefined {
    if (replica?.state !== 'up') return undefined;
    const limits = this.#own.get(replica) ?? withJitter(this.#settings().recycle);
    this.#own.set(replica, limits);
    const values = { maxRequests: replica.served, maxAge: performance.now() - upSince, maxRss: replica.rss };
    const reason = (Object.keys(values) as RecycleReason[]).find((key) => values[key] >= limits[key]);
    if (reason === undefined) return undefined;
    const { pid, incarnation } = replica;
    return { id, pid, incarnation, reason, value: values[reason] };
  }

  async #recycle(child: Child, event: RecycleEvent): Promise<void> {
    const { replica } = child;
    let lived = Number.POSITIVE_INFINITY;
    try {
      await this.#crew.inTurn(async () => {
        if (child.replica !== replica || replica?.state !== 'up' || child.retired) return; // a reload was faster
        lived = 0; // where it fails
        this.#crew.announce('recycle', event);
        const { upSince } = child;
        await replace(this.#crew, child, this.#settings(), event.reason);
        lived = performance.now() - upSince;
      });
    } catch (error) {
      if (this.#crew.ended() === undefined) this.#crew.announce('recycleFailed', error as BallermannError);
    }
    this.#notBefore = performance.now() + this.#backoff.next(lived);
    this.#busy = false;
  }
}

function withJitter({ maxRequests, maxAge, maxRss }: RecycleLimits): RecycleLimits {
  const part = 1 - Math.random() * JITTER;
  return { maxRequests: Math.ceil(maxRequests * part), maxAge: maxAge * part, maxRss: maxRss * part };
}
