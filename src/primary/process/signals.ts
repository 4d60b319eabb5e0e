/**
 * SIGTERM and SIGINT of the primary: an orderly stop of every supervisor, whoever else listens, and then the exit. A
 * second SIGINT does not wait. SIGHUP: a reload of every supervisor, or where a terminal has gone, an orderly stop.
 */

import { performance } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { MAX_TIMER } from '../../arguments.js';
import { ignoreClosedOutput } from '../../output.js';
import type { Line } from '../supervision/log.js';
import { ownListeners, unwatchOwnListeners, watchOwnListeners } from './own-listeners.js';
import { belongsToTerminal } from './terminal.js';

/** A supervisor, as far as signals go. Its class may be that of another copy of this package. */
interface Guarded {
  readonly name: string;
  /** Why there will be no replicas any more; undefined while there may be. */
  readonly ended: Error | undefined;
  /** Whether a replica had to be killed at the end. */
  readonly disorderly: boolean;
  readonly settings: { readonly shutdown: number };
  readonly log: { write(event: string, line: Line, fields: object): void };
  stop(reason: string): Promise<void>;
  reload(): Promise<void>;
  once(event: 'close', listener: () => void): unknown;
}

/** What copies of this package in one primary share: one of them listens for all. */
interface Guard {
  /** From now until the supervisor has closed. */
  add(supervisor: Guarded): void;
  /** Whether a signal has come, after which this process ends. */
  isEnding(): boolean;
}

const KEY = Symbol.for('ballermann.signals');
const shared = globalThis as { [KEY]?: Guard };

/** The guard of this process. */
export function signalGuard(): Guard {
  shared[KEY] ??= { add, isEnding: () => stopping !== undefined };
  return shared[KEY];
}

/**
 * ms. One Ctrl-C may come more than once: from the terminal, which sends it to all, and from npm, `node --watch` and
 * others that pass on what they get.
 */
const ONE_KEYPRESS = 250;

/** As a shell says of a process that SIGINT has ended. */
const INTERRUPTED = 130;

const listeners = { SIGTERM: onEnd, SIGINT: onInterrupt, SIGHUP: onHangUp } as const;
const SIGNALS = Object.keys(listeners) as (keyof typeof listeners)[];

const guarded = new Set<Guarded>();
let isOfTerminal = false;
let interruptedAt: number | undefined;
/** Whether the application listened for a signal that has ended us. */
let hasOwnListeners = false;
let stopping: Promise<void> | undefined;

function add(supervisor: Guarded): void {
  if (guarded.size === 0) listen();
  guarded.add(supervisor);
  supervisor.once('close', () => {
    guarded.delete(supervisor);
    if (guarded.size === 0 && stopping === undefined) listenNoMore();
  });
}

function listen(): void {
  isOfTerminal = belongsToTerminal(); // now: it cannot be seen any more once the terminal has gone
  watchOwnListeners();
  for (const signal of SIGNALS) process.on(signal, listeners[signal]);
}

function listenNoMore(): void {
  for (const signal of SIGNALS) process.off(signal, listeners[signal]);
  unwatchOwnListeners();
}

function onEnd(signal: NodeJS.Signals): void {
  if (ownListeners(signal) > 0) hasOwnListeners = true;
  stopping ??= stopAll(signal);
}

function onInterrupt(signal: NodeJS.Signals): void {
  const now = performance.now();
  interruptedAt ??= now;
  if (now - interruptedAt > (isOfTerminal ? ONE_KEYPRESS : 0)) process.exit(INTERRUPTED);
  onEnd(signal);
}

function onHangUp(signal: NodeJS.Signals): void {
  if (isOfTerminal) return onEnd(signal);
  if (stopping !== undefined) return;
  for (const supervisor of guarded) {
    if (reloading.has(supervisor)) reloading.set(supervisor, 'again');
    else void reload(supervisor);
  }
}

async function stopAll(signal: NodeJS.Signals): Promise<void> {
  ignoreClosedOutput(); // until the end, that is longer than the supervisors do
  const all = [...guarded];
  await Promise.all(all.map((supervisor) => supervisor.stop(signal)));
  await turn(); // for those who listen for 'close'
  process.exitCode ??= all.some(({ disorderly }) => disorderly) ? 1 : 0;
  if (!hasOwnListeners) process.exit();
  const patience = Math.min(Math.max(...all.map(({ settings }) => settings.shutdown)), MAX_TIMER);
  const end = (): void => {
    all[0]?.log.write('exit', tooLate(signal, patience), { signal });
    process.exit();
  };
  setTimeout(end, patience).unref(); // the process may end before, when it has nothing left to do
}

/** What the application does at a signal has a time limit: it may have left a server open that nobody closes. */
function tooLate(signal: NodeJS.Signals, patience: number): Line {
  const text =
    `${signal}: the process listens for it itself, and had not ended ${patience} ms (shutdown) after its last replica: ` +
    'it exits now';
  return { level: 'warn', text };
}

/** Those that reload; 'again' where a signal came meanwhile: one more is enough, however many came. */
const reloading = new Map<Guarded, 'once' | 'again'>();

async function reload(supervisor: Guarded): Promise<void> {
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
