/** `ballermann/replica`: what the script of a replica uses. */

import { isMainThread } from 'node:worker_threads';
import { checkFunction } from './arguments.js';
import { INDEX_ENV } from './channel/environment.js';
import { wrongProcess } from './errors.js';
import { type Runtime, replicaRuntime, type ShutdownHook } from './replica/found.js';
import type { MessageContext } from './replica/messages/mailbox.js';

export type { MessageContext, ShutdownHook };

/**
 * This replica's number, 0 to n - 1 if its supervisor has n replicas. Restarts and reloads keep it; during a reload the old
 * and the new replica of a number run side by side. In the primary it is the `id` of children() and of the events. The
 * environment has it as BALLERMANN_INDEX, which worker threads and child processes of the replica inherit. NaN outside a
 * replica.
 */
export const index: number = Number(process.env[INDEX_ENV] ?? Number.NaN);

/**
 * Sets the function that answers calls and casts, as handle_call and handle_cast do, and makes the replica ready. Earlier
 * messages are delivered then. The handler is called once for each message, in order, and does not wait for the promise of
 * the one before. A later handler replaces an earlier one.
 * @param handler returns the reply, or a promise of it. If it throws, the caller gets ERR_REMOTE with the error as its
 * cause.
 * @returns the handler. Export it to give the pool its types: `export const add = handle(…)` here, and
 * `balance<typeof add>(…)` in the primary.
 * @throws TypeError. BallermannError: ERR_WRONG_PROCESS outside a replica.
 */
export function handle<Message = unknown, Reply = unknown>(
  handler: (message: Message, context: MessageContext) => Reply,
): (message: Message, context: MessageContext) => Reply {
  checkFunction('handler', handler);
  runtime('handle').handle(handler);
  return handler;
}

/**
 * Says that the replica is ready, for scripts that neither call handle() nor listen. A second call does nothing.
 * @throws BallermannError: ERR_WRONG_PROCESS outside a replica.
 */
export function ready(): void {
  runtime('ready').ready();
}

/**
 * Aborts when the stop of this replica begins, while its requests and calls still run. Use it to end what does not end by
 * itself, such as a long poll or a loop over jobs. Its `reason` is the text that the hooks of `onShutdown` get. It never
 * aborts outside a replica.
 */
export const shutdownSignal: AbortSignal = signalOfStop();

/**
 * Adds a function that is awaited before the replica stops. Hooks run after the last call and the last HTTP request, one
 * after another, in the order of adding. They do not wait for a request that is still running after three quarters of
 * `shutdown`. After `shutdown` ms the replica is killed by SIGKILL.
 * @param hook is called with the reason: 'close', 'resize', 'SIGTERM', 'SIGINT', 'reload', 'maxRequests', 'maxAge',
 * 'maxRss', 'restart intensity', 'start failed' or 'disconnect'.
 * @throws TypeError. BallermannError: ERR_WRONG_PROCESS outside a replica.
 */
export function onShutdown(hook: ShutdownHook): void {
  checkFunction('hook', hook);
  runtime('onShutdown').onShutdown(hook);
}

function signalOfStop(): AbortSignal {
  try {
    return replicaRuntime()?.shutdownSignal ?? new AbortController().signal;
  } catch {
    return new AbortController().signal; // another version's: what is called says so
  }
}

function runtime(what: string): Runtime {
  const found = replicaRuntime();
  if (found !== undefined) return found;
  const here = isMainThread
    ? 'a process that supervise() has not started: run the script that calls supervise()'
    : `a worker thread: call it in the replica's main thread`;
  throw wrongProcess(what, "a replica's main thread", here);
}
