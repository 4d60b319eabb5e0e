/** What becomes of the process when a supervisor has given up and nobody listens: as with an 'error' that nobody hears. */

import { setImmediate as turn } from 'node:timers/promises';

/** A supervisor, as far as that goes. Its class may be that of another copy of this package. */
interface Closable {
  close(): Promise<void>;
  once(event: 'close', listener: () => void): unknown;
}

/** What copies of this package in one primary share. */
const KEY = Symbol.for('ballermann.supervisors');
const shared = globalThis as { [KEY]?: Set<Closable> };

let isExiting = false;

/** From now until it has closed it is stopped in order before the process exits. */
export function stopBeforeExit(supervisor: Closable): void {
  shared[KEY] ??= new Set();
  const open = shared[KEY];
  open.add(supervisor);
  supervisor.once('close', () => open.delete(supervisor));
}

/**
 * Exits with code 1 when the last replica of every supervisor has stopped in an orderly way, for which each has its
 * `shutdown`, whatever else keeps the process alive.
 */
export async function exitWithoutReplicas(): Promise<void> {
  process.exitCode = 1;
  isExiting = true;
  await Promise.all([...(shared[KEY] ?? [])].map((supervisor) => supervisor.close()));
  await turn(); // for those who listen for 'close'
  process.exit(1);
}

/** Whether a supervisor has given up, after which this process ends. */
export function isGivingUp(): boolean {
  return isExiting;
}
