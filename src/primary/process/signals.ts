/**
 * SIGTERM and SIGINT of the primary: an orderly stop of every supervisor, then the exit. A second signal of the
 * same kind does not hurry it: `shutdown` bounds it. SIGHUP: a reload of every supervisor.
 */

import type { Supervisor } from '../supervision/supervisor.js';

const listeners = { SIGTERM: onEnd, SIGINT: onEnd, SIGHUP: onHangUp } as const;
const SIGNALS = Object.keys(listeners) as (keyof typeof listeners)[];

const guarded = new Set<Supervisor>();

/** From now until the supervisor has closed. */
export function guard(supervisor: Supervisor): void {
  if (guarded.size === 0) for (const signal of SIGNALS) process.on(signal, listeners[signal]);
  guarded.add(supervisor);
  supervisor.once('close', () => {
    guarded.delete(supervisor);
    if (guarded.size === 0 && stopping === undefined) listenNoMore();
  });
}

function listenNoMore(): void {
  for (const signal of SIGNALS) process.off(signal, listeners[signal]);
}

let stopping: Promise<void> | undefined;

function onEnd(signal: NodeJS.Signals): void {
  stopping ??= stopAll(signal);
}

async function stopAll(signal: NodeJS.Signals): Promise<void> {
  const all = [...guarded];
  await Promise.all(all.map((supervisor) => supervisor.stop(signal)));
  // An application that listens for the signal as well decides itself when to exit.
  if (process.listenerCount(signal) > 1) {
    stopping = undefined;
    listenNoMore();
    return;
  }
  process.exit(all.some(({ disorderly }) => disorderly) ? 1 : 0);
}

/** Those that reload; 'again' where a signal came meanwhile: one more is enough, however many came. */
const reloading = new Map<Supervisor, 'once' | 'again'>();

function onHangUp(): void {
  if (process.listenerCount('SIGHUP') > 1) return; // the application means something else by it
  for (const supervisor of guarded) {
    if (reloading.has(supervisor)) reloading.set(supervisor, 'again');
    else void reload(supervisor);
  }
}

async function reload(supervisor: Supervisor): Promise<void> {
  do {
    reloading.set(supervisor, 'once');
    try {
      await supervisor.reload();
    } catch {
      if (supervisor.ended !== undefined) break; // else the supervisor has said why it failed
    }
  } while (reloading.get(supervisor) === 'again');
  reloading.delete(supervisor);
}
