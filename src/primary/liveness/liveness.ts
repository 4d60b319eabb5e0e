/**
 * Tells from looks at a replica, one after another, for how long it has been stuck. No processes and no clocks here.
 * What it is shown lies in shared memory that replicas write, so any value may come.
 */

import type { Sight } from '../replicas/replica-process.js';

/**
 * A loop is stuck while it stays in one turn, or stays in one wait though messages lie there that it was sent (the
 * process is stopped then). Only time counts that the observer has watched.
 */
export class Liveness {
  #last: Sight | undefined;
  #stuck = 0;
  #silent = 0;

  /** ms for which the loop has been stuck; 0: it turns. */
  get stuck(): number {
    return this.#stuck;
  }

  /** ms of these since anything came from the replica. */
  get silent(): number {
    return this.#silent;
  }

  /**
   * @param watched ms since the last look that count.
   * @param now monotonic ns.
   */
  look(sight: Sight, watched: number, now: bigint): void {
    const last = this.#last;
    const isSilent = sight.heard === last?.heard;
    this.#last = sight;
    this.#stuck = isStuck(last, sight) ? this.#stuck + watched : sinceItsStart(sight, watched, now);
    this.#silent = isSilent ? Math.min(this.#silent + watched, this.#stuck) : 0;
  }
}

/** How much of the time between looks the observer has itself been there to see. */
export class ObservedTime {
  readonly #longest: number;
  #lookedAt: bigint;
  #wasLate = false;

  /** @param interval ms that looks are apart at most, where they come in time. @param now monotonic ns. */
  constructor(interval: number, now: bigint) {
    this.#longest = 2 * interval;
    this.#lookedAt = now;
  }

  /**
   * ms since the last look that count. Of a look that is late nothing does: the observer was itself stopped or busy,
   * maybe the replicas with it, and their answers may lie unread. Where one after another is late, they count, but
   * not for more than two intervals.
   */
  passed(now: bigint): number {
    const ms = Number(now - this.#lookedAt) / 1e6;
    const isLate = ms > this.#longest;
    const counts = !isLate || this.#wasLate;
    this.#lookedAt = now;
    this.#wasLate = isLate;
    return counts ? Math.min(ms, this.#longest) : 0;
  }
}

function isStuck(last: Sight | undefined, sight: Sight): boolean {
  if (last === undefined || sight.busySince !== last.busySince || sight.idle !== last.idle) return false;
  if (sight.busySince !== 0n) return true;
  return last.isOwed && sight.isOwed && sight.taken === last.taken && sight.heard === last.heard;
}

/** ms of a turn that has begun since the last look; bounded, since the clock may say anything. */
function sinceItsStart({ busySince }: Sight, watched: number, now: bigint): number {
  if (busySince === 0n) return 0;
  return Math.min(Math.max(0, Number(now - busySince) / 1e6), watched);
}
