/**
 * SIGTERM and SIGINT of the primary: an orderly stop of every supervisor, then the exit. A second signal of the
 * same kind does not hurry it: `shutdown` bounds it.
 */

import type { Supervisor } from './supervisor.js';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

const guarded = new Set<Supervisor>();

/** From now until the supervisor has closed. */
export function guard(supervisor: Supervisor): void {
  if (guarded.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  guarded.add(supervisor);
  supervisor.once('close', () => {
    guarded.delete(supervisor);
    if (guarded.size === 0 && stopping === undefined)
      for (const signal of SIGNALS) process.off(signal, onSignal);
  });
}

let stopping: Promise<void> | undefined;

function onSignal(signal: NodeJS.Signals): void {
  stopping ??= stopAll(signal);
}

async function stopAll(signal: NodeJS.Signals): Promise<void> {
  const all = [...guarded];
  await Promise.all(all.map((supervisor) => supervisor.stop(signal)));
  // An application that listens for the signal as well decides itself when to exit.
  if (process.listenerCount(signal) > 1) {
    stopping = undefined;
    for (const name of SIGNALS) process.off(name, onSignal);
    return;
  }
  process.exit(all.some(({ disorderly }) => disorderly) ? 1 : 0);
}
