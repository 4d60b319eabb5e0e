/** How many windows a pool has had, and for how long. No clocks here: `now` is monotonic ms. */

import type { WindowMetrics } from './supervisor-metrics.js';

export class WindowTimes {
  #count = 0;
  #openedAt: number | undefined;
  #ended = 0;
  #lastDuration: number | undefined;

  opened(now: number): void {
    this.#count++;
    this.#openedAt = now;
  }

  closed(now: number): void {
    if (this.#openedAt === undefined) return;
    this.#lastDuration = now - this.#openedAt;
    this.#ended += this.#lastDuration;
    this.#openedAt = undefined;
  }

  snapshot(now: number): WindowMetrics {
    const isOpen = this.#openedAt !== undefined;
    return {
      count: this.#count,
      open: isOpen,
      totalDuration: this.#ended + (isOpen ? now - (this.#openedAt as number) : 0),
      lastDuration: this.#lastDuration,
    };
  }
}
