/** How long a start may take: a word about it after 5 s, and SIGKILL at `readyTimeout`. */

import { missing } from '../../channel/readiness.js';
import type { Child } from './child.js';
import type { Reports } from './reports.js';
import type { SupervisorSettings } from './supervisor-options.js';

/** ms after which a replica that is not ready is worth a line. */
const SLOW_START = 5_000;

/** From now on, where the child's process has just been made. The child keeps the timer. */
export function limitStart(
  child: Child,
  { readyTimeout, waitReady }: SupervisorSettings,
  reports: Reports,
): void {
  const what = missing[waitReady];
  const isSlow = (): void => {
    reports.slowStart(child, SLOW_START, what);
    wait(readyTimeout - SLOW_START, isTooLate);
  };
  const isTooLate = (): void => {
    child.failure = new Error(`not ready within ${readyTimeout} ms (readyTimeout): ${what}`);
    child.replica?.kill();
  };
  const wait = (ms: number, then: () => void): void => {
    const look = (): void => {
      if (child.state === 'starting' && child.replica?.hasSaidReady === false) then();
    };
    child.timer = setTimeout(() => setImmediate(look), ms); // a turn later: a 'ready' that has arrived counts
  };
  if (readyTimeout > SLOW_START) wait(SLOW_START, isSlow);
  else wait(readyTimeout, isTooLate);
}
