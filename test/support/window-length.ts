/** How long windows over servers are, and what they had to wait for: both seen by the clock that all processes share. */

import { readFileSync } from 'node:fs';
import { hrtime } from 'node:process';

/** ms of the system's monotonic clock. */
export type Time = number;

export function now(): Time {
  return Number(hrtime.bigint()) / 1e6;
}

/** A window as its caller sees it. */
export interface WindowTimes {
  readonly began: Time;
  /** When its function began and ended. */
  readonly ran: readonly [begin: Time, end: Time];
  readonly ended: Time;
  /** How late a timer of the primary was meanwhile, at most: whatever else it waits for may be as late. */
  readonly lateness: number;
}

/** A timer of 1 ms, again and again, and how late it was. */
export class Control implements Disposable {
  #latest = 0;
  #due = now() + 1;
  #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setTimeout(this.#look, 1);
  }

  /** The most since the last call, one that is late just now included. */
  latest(): number {
    const latest = Math.max(this.#latest, now() - this.#due);
    this.#latest = 0;
    return latest;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  readonly #look = (): void => {
    this.#latest = Math.max(this.#latest, now() - this.#due);
    this.#due = now() + 1;
    this.#timer = setTimeout(this.#look, 1);
  };
}

/** When requests began and were over, as the replicas noted it in the file SPANS of fixtures/servers/replica.mjs. */
export function requestsIn(file: string): (readonly [begin: Time, end: Time])[] {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines
    .flatMap((line) => JSON.parse(line) as [string, string][])
    .map(([begin, end]) => [Number(begin) / 1e6, Number(end) / 1e6]);
}

/** The longest of the requests that ran in the wait of a window; 0 where there were none. */
export function longestIn({ began, ran }: WindowTimes, requests: Iterable<readonly [Time, Time]>): number {
  let longest = 0;
  for (const [begin, end] of requests)
    if (begin < ran[0] && end > began) longest = Math.max(longest, end - begin);
  return longest;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}
