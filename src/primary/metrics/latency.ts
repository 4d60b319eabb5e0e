/**
 * How long calls take, counted in buckets of growing width: 18 a decade, from 10 µs to 100 s. The bounds are round numbers in
 * decimal, so that whoever shows fewer of them still counts exactly.
 */

import type { LatencyHistogram } from './supervisor-metrics.js';

/** ns: half of the first bound, and the width of the first buckets. */
const STEP = 5_000;

/** In steps: a decade goes from the first, not included, to the last. */
const DECADE = { first: 2, last: 20 } as const;

const A_DECADE = DECADE.last - DECADE.first;

const DECADES = 7;

const NS = 1e6; // a ms

/** ms, ascending: 0.01, 0.015, 0.02 … 0.1, 0.15 … 100,000. */
export const bounds: readonly number[] = Array.from({ length: DECADES * A_DECADE + 1 }, (_, i) => {
  const decade = Math.floor((i - 1) / A_DECADE);
  const steps = i - decade * A_DECADE + DECADE.first;
  return i === 0 ? (DECADE.first * STEP) / NS : (steps * STEP * 10 ** decade) / NS;
});

export class Latency {
  /** By bucket; the last is for what took longer than any bound. */
  readonly #counts = new Float64Array(bounds.length + 1);
  readonly #last = bounds.length;
  #sum = 0;

  /** A call took `ms`. */
  record(ms: number): void {
    this.#sum += ms;
    let steps = Math.round(ms * NS) / STEP; // of whole ns, so that a round number is at its bound, not above it
    let bucket = 0;
    while (steps > DECADE.last && bucket < this.#last) {
      steps /= 10;
      bucket += A_DECADE;
    }
    bucket += Math.max(0, Math.ceil(steps) - DECADE.first);
    if (bucket > this.#last) bucket = this.#last;
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
  }

  snapshot(): LatencyHistogram {
    let count = 0;
    const buckets = bounds.map((le, i) => {
      count += this.#counts[i] as number;
      return { le, count };
    });
    return { count: count + (this.#counts[this.#last] as number), sum: this.#sum, buckets };
  }
}
