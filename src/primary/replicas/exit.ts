/** How a replica ended, and how that is said. */

/** Exactly one of code and signal is set, as for a child process; neither where there was no process. */
export interface ExitInfo {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What was thrown, where the replica ended by an uncaught error. */
  readonly error: Error | undefined;
}

/** What comes after "replica 123 …". */
export function howItEnded({ code, signal }: ExitInfo): string {
  if (signal !== null) return `was killed by ${signal}`;
  return code === null ? 'did not start' : `exited with code ${code}`;
}
