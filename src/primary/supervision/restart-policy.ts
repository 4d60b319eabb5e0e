/** When a replica is restarted, how soon, and when a supervisor gives up. No processes here. */

/** As OTP's: always; after an abnormal exit (a code other than 0, or a signal); never. */
export type RestartType = 'permanent' | 'transient' | 'temporary';

export function shouldRestart(type: RestartType, code: number | null): boolean {
  return type === 'permanent' || (type === 'transient' && code !== 0);
}

/** Counts restarts: more than `intensity` within `period` ms are too many. */
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

export interface BackoffOptions {
  /** ms before the second restart in a row. @default 100 */
  readonly initial: number;
  /** ms, the longest delay. @default 1000 */
  readonly max: number;
}

/**
 * The delay before each restart of one child. The first is at once; each further one in a row waits twice as
 * long as the one before, up to `max`, less a random half of it, so that replicas that died together do not
 * come back together. A life of at least `healthy` ms starts the row anew.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #healthy: number;
  readonly #random: () => number;
  #row = 0;

  constructor(options: BackoffOptions, healthy: number, random: () => number = Math.random) {
    this.#options = options;
    this.#healthy = healthy;
    this.#random = random;
  }

  /** @param lived ms that the replica was up; 0 where it never was. */
  next(lived: number): number {
    if (lived >= this.#healthy) this.#row = 0;
    const { initial, max } = this.#options;
    const full = this.#row === 0 ? 0 : Math.min(max, initial * 2 ** (this.#row - 1));
    this.#row++;
    return full * (1 - this.#random() / 2);
  }
}
