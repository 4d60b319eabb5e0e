/** When a replica is restarted, how soon, and when a supervisor gives up. No processes here. */

/**
 * When a replica is restarted, as in OTP. 'permanent': always. 'transient': after an abnormal exit (a code other than 0, or a
 * signal). 'temporary': never.
 */
export type RestartType = 'permanent' | 'transient' | 'temporary';

export function shouldRestart(type: RestartType, code: number | null): boolean {
  return type === 'permanent' || (type === 'transient' && code !== 0);
}

/** As OTP's: more than `intensity` restarts within `period` ms are too many. */
export class RestartIntensity {
  readonly #intensity: number;
  readonly #period: number;
  readonly #times: number[] = [];

  constructor(intensity: number, period: number) {
    this.#intensity = intensity;
    this.#period = period;
  }

  /** Counts a restart at `now` (monotonic ms). True where that is one too many. */
  exceededBy(now: number): boolean {
    this.#times.push(now);
    while (this.#times.length > 0 && now - (this.#times[0] as number) > this.#period) this.#times.shift();
    return this.#times.length > this.#intensity;
  }
}

/** `intensity` and `period` of a supervisor. */
export interface IntensityLimit {
  readonly intensity: number;
  /** ms */
  readonly period: number;
}

/** What a child has gone through, as far as giving up is concerned. */
export interface History {
  /** Failures in a row. */
  readonly failures: number;
  /** Whether its replica is up, and has been for long enough to end the row. */
  readonly isHealthy: boolean;
}

/** Failures in a row of each child at which a supervisor without an intensity gives up. */
const MAX_FAILURES = 10;

/** Whether nobody is well, and nobody has come back in so many tries. */
export function haveAllFailed(children: readonly History[]): boolean {
  return children.every(({ failures, isHealthy }) => !isHealthy && failures >= MAX_FAILURES);
}

/** When a supervisor gives up: by the restarts of all within a period, or without a limit by the failures of each in a row. */
export class Patience {
  readonly #limit: IntensityLimit | undefined;
  readonly #restarts: RestartIntensity | undefined;

  constructor(limit: IntensityLimit | undefined) {
    this.#limit = limit;
    this.#restarts = limit && new RestartIntensity(limit.intensity, limit.period);
  }

  /**
   * A child has gone down that is to be restarted.
   * @param failedStarts of it, in a row.
   * @param left it has left in order, as it was asked to: that counts for `intensity`, as in OTP, and is no failure.
   * @param all the supervisor's children, that one included.
   * @param now monotonic ms.
   * @returns why it is time to give up; undefined where it is not.
   */
  endedBy(failedStarts: number, left: boolean, all: readonly History[], now: number): string | undefined {
    if (this.#limit === undefined) {
      if (left || !haveAllFailed(all)) return undefined;
      return `no replica is healthy, and each has failed ${MAX_FAILURES} times in a row or more`;
    }
    const { intensity, period } = this.#limit;
    const isExceeded = this.#restarts?.exceededBy(now) === true;
    if (failedStarts > intensity) return `a replica did not get ready in ${failedStarts} starts in a row`;
    return isExceeded ? `more than ${intensity} restarts within ${period} ms` : undefined;
  }
}

/** The failures of one child in a row: starts that did not get ready, and lives that were too short. */
export class Streak {
  readonly #healthyAfter: number;
  #failures = 0;
  #failedStarts = 0;

  /** @param healthyAfter ms; a life as long ends the streak. */
  constructor(healthyAfter: number) {
    this.#healthyAfter = healthyAfter;
  }

  get failures(): number {
    return this.#failures;
  }

  /** The last ones of these that did not get ready. */
  get failedStarts(): number {
    return this.#failedStarts;
  }

  /** A process of the child has ended. @param lived ms that it was up; undefined where it did not get ready. */
  ended(lived: number | undefined): void {
    this.#failedStarts = lived === undefined ? this.#failedStarts + 1 : 0;
    this.#failures = this.isHealthy(lived) ? 0 : this.#failures + 1;
  }

  /** It has left in order, as it was asked to: no failure, however short its life was, and a success if it was long enough. */
  left(lived: number | undefined): void {
    if (this.isHealthy(lived)) this.ended(lived);
  }

  isHealthy(lived: number | undefined): boolean {
    return lived !== undefined && lived >= this.#healthyAfter;
  }
}

export interface BackoffOptions {
  /** ms before the second restart in a row. Each further one waits twice as long. @default 100 */
  readonly initial: number;
  /** The longest delay, in ms. @default 30000; 1000 if `intensity` or `period` is set */
  readonly max: number;
}

/**
 * ms before a try. The first in a row is at once; each further one waits twice as long as the one before, up to `max`,
 * less a random half of it, so that replicas that died together do not come back together.
 * @param before tries in a row before this one.
 */
export function backoffDelay(
  before: number,
  { initial, max }: BackoffOptions,
  random: () => number = Math.random,
): number {
  const full = before <= 0 ? 0 : Math.min(max, initial * 2 ** (before - 1));
  return full * (1 - random() / 2);
}

/** Delays of tries in a row that are no failures of a replica's: refused forks, replacements. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #healthy: number;
  readonly #random: () => number;
  #row = 0;

  /** @param healthy ms; what has lasted as long begins a new row. */
  constructor(options: BackoffOptions, healthy: number, random: () => number = Math.random) {
    this.#options = options;
    this.#healthy = healthy;
    this.#random = random;
  }

  /** @param lasted ms that the last try was a success; 0 where it was none. */
  next(lasted: number): number {
    if (lasted >= this.#healthy) this.#row = 0;
    return backoffDelay(this.#row++, this.#options, this.#random);
  }
}
