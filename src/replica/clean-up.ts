/**
 * The script's own clean-up: what it does when a signal comes, or the end of its channel, run to its end when all else of an
 * orderly stop is done. Nobody says when that is, so the process is left to itself: it ends as it would without us, by
 * process.exit(), by a signal that it sends itself, or because nothing of the script keeps its event loop alive any more.
 */

import { constants } from 'node:os';
import { performance } from 'node:perf_hooks';

/** What the script may still have, and how long. */
export interface CleanUpLimits {
  /** When the process ends at the latest (performance.now()). */
  readonly latest: number;
  /** Whether requests run even then: their end by force is no orderly one. */
  isServing(): boolean;
}

/**
 * Nothing of ours may keep the event loop alive any more.
 * @param event what the script listens for; `tell` has it hear of that.
 */
export function cleanUp(
  event: NodeJS.Signals | 'disconnect',
  tell: () => void,
  { latest, isServing }: CleanUpLimits,
): void {
  const ms = Math.max(0, latest - performance.now());
  process.channel?.unref();
  setTimeout(() => {
    if (isServing()) return;
    console.error(unfinished(event, ms));
    process.exit();
  }, ms).unref();
  // The exit code of a process that a signal has ended: some libraries exit with it when they are done.
  if (event !== 'disconnect') {
    process.once('exit', (code) => {
      if (code === 128 + constants.signals[event]) process.exitCode = 0;
    });
  }
  tell();
}

function unfinished(event: string, ms: number): string {
  const open = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) open.set(name, (open.get(name) ?? 0) + 1);
  const list = [...open].map(([name, count]) => `${count} ${name}`).join(', ');
  return (
    `ballermann: replica ${process.pid}: the listeners for ${event} have not ended the process within ${Math.round(ms)} ms, ` +
    `so it exits now. Still open: ${list || 'nothing'}. Call process.exit() at the end of the listener`
  );
}
