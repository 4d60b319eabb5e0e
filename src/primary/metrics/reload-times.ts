/** How many reloads a supervisor has had, how they ended, and how long they took. No clocks here: `now` is monotonic ms. */

import type { SupervisorMetrics } from './supervisor-metrics.js';

export class ReloadTimes {
  #succeeded = 0;
  #failed = 0;
  #since: number | undefined;
  #lastDuration: number | undefined;

  began(now: number): void {
    this.#since = now;
  }

  ended(succeeded: boolean, now: number): void {
    if (succeeded) this.#succeeded++;
    else this.#failed++;
    this.#lastDuration = now - (this.#since ?? now);
    this.#since = undefined;
  }

  snapshot(): SupervisorMetrics['reloads'] {
    return {
      succeeded: this.#succeeded,
      failed: this.#failed,
      running: this.#since !== undefined,
      lastDuration: this.#lastDuration,
    };
  }
}
