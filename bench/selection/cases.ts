/** What is measured, and what is to be reached. */

/** ms that a replica waits for a message, and the slow one. */
const WAIT = 10;
const SLOW_WAIT = 2 * WAIT;

export interface Case {
  /** For --only. */
  readonly name: string;
  readonly title: string;
  /** ms that each replica waits for a message. The first may be the slow one. */
  readonly waits: readonly number[];
  /** Calls a second, as a part of what all replicas together can do. */
  readonly load: number;
}

const oneSlow = [SLOW_WAIT, WAIT, WAIT, WAIT];
const equal = [WAIT, WAIT, WAIT, WAIT];

export const REPLICAS = 4;

export const cases: readonly Case[] = [
  { name: 'slow-70', title: 'one slow, 70 % load', waits: oneSlow, load: 0.7 },
  { name: 'slow-50', title: 'one slow, 50 % load', waits: oneSlow, load: 0.5 },
  { name: 'equal-70', title: 'none slow, 70 % load', waits: equal, load: 0.7 },
];

export const selections = ['round-robin', 'least-queue'] as const;

/** At most this ratio of least-queue's p99 to round robin's. */
export const target = {
  name: 'slow-70',
  ratio: 0.5,
  text: "one slow, 70 % load: p99 at most half of round robin's",
};
