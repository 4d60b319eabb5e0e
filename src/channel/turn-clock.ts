/** The clock of the turns in which this thread takes messages: it has been looked at already, so it is cheap. */

import { performance } from 'node:perf_hooks';
import { hrtime } from 'node:process';
import { addon } from '../memory/addon.js';

let clock: Float64Array | undefined;

/** What its zero is ahead of performance.now's. */
let ahead = 0;

/** When the message was found that is handed over now: ms, as performance.now(). */
export function foundAt(): number {
  clock ??= start();
  return (clock[0] as number) - ahead;
}

function start(): Float64Array {
  ahead = Number(hrtime.bigint()) / 1e6 - performance.now();
  return addon().turnClock();
}
