/** `ballermann/replica`: what the script of a replica uses. */

import { isMainThread } from 'node:worker_threads';
import { checkFunction } from './arguments.js';
import { INDEX_ENV } from './channel/environment.js';
import { wrongProcess } from './errors.js';
import { type Runtime, replicaRuntime, type ShutdownHook } from './replica/found.js';
import type { MessageContext } from './replica/messages/mailbox.js';

export type { MessageContext, ShutdownHook };

/**
 * This replica's number: 0 to n - 1 among the n of its supervisor, the `id` that children() and the events in the primary
 * have. Restarts and reloads keep it; during a reload the old and the new replica of a number run side by side. Also
 * in the environment, as BALLERMANN_INDEX: in worker threads, and in processes that the replica starts. NaN elsewhere.
 */
export const index: number = Number(process.env[INDEX_ENV] ?? Number.NaN);

/**
 * Answers calls and casts, as handle_call and handle_cast do, and makes the replica ready. What was sent before is
 * delivered then. The handler is called for each message in order, without waiting for the promise of the one
 * before. A later handler takes the place of an earlier one.
 * @param handler gives the reply or a promise of it; what it throws, the caller gets as the cause of ERR_REMOTE.
 * @throws TypeError, BallermannError ERR_WRONG_PROCESS outside a replica.
 */
export function handle<Message = unknown>(
  handler: (message: Message, context: MessageContext) => unknown,
): void {
  checkFunction('handler', handler);
  runtime('handle').handle(handler);
}

/**
 * Says that the replica is ready, for scripts that neither handle() nor listen(). Calling it again does nothing.
 * @throws BallermannError ERR_WRONG_PROCESS outside a replica.
 */
export function ready(): void {
  runtime('ready').ready();
}

/**
 * Aborts when the stop of this replica begins, before its requests and calls have ended: for what would not end by
 * itself, as a long poll or a loop over jobs. Its `reason` is the text that the hooks of `onShutdown` are given. Never aborts
 * outside a replica.
 */
export const shutdownSignal: AbortSignal = signalOfStop();

/**
 * Adds a function to be awaited before the replica exits in an orderly way: after its running calls and HTTP requests,
 * in the order of adding. All of it has `shutdown` ms; then comes SIGKILL. So that a request which never ends does not
 * take the hooks' time as well, they wait for requests until three quarters of it are over.
 * @param hook is given the reason: 'close', 'resize', 'SIGTERM', 'SIGINT', 'reload', 'maxRequests', 'maxAge',
 * 'maxRss', 'restart intensity', 'start failed' or 'disconnect'.
 * @throws TypeError, BallermannError ERR_WRONG_PROCESS outside a replica.
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
    ? 'a process that supervise() has not started'
    : `a worker thread: call it in the replica's main thread`;
  throw wrongProcess(what, "a replica's main thread", here);
}
