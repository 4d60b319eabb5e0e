/** Options that callers in any process pass, their defaults and their checks. */

import {
  badType,
  checkBoolean,
  checkMilliseconds,
  checkOptions,
  checkSignal,
  checkString,
} from './arguments.js';

/** ms, as gen_server:call. */
export const DEFAULT_TIMEOUT = 5000;

export interface CallOptions {
  /** ms until ERR_TIMEOUT, the wait for the end of a window included. @default 5000 */
  timeout?: number;
  /** Rejects with the signal's reason; the handler's own signal is aborted. */
  signal?: AbortSignal;
  /**
   * Whether the message may run twice: then a call to a pool goes to another replica even where the first may have
   * begun it before it died. @default false
   */
  idempotent?: boolean;
}

export interface PingOptions {
  /** ms until ERR_TIMEOUT. @default 5000 */
  timeout?: number;
  /** Rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface TransactionOptions {
  /** ms to wait for the end of a window. The function itself has no limit. @default 5000 */
  timeout?: number;
  /** Stops the wait; rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface CheckedCallOptions {
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly idempotent: boolean;
}

const NO_OPTIONS: CheckedCallOptions = {
  timeout: DEFAULT_TIMEOUT,
  signal: undefined,
  idempotent: false,
};

/** @throws TypeError, RangeError, or the signal's reason where it is aborted already. */
export function callOptions(options: CallOptions | undefined): CheckedCallOptions {
  if (options === undefined) return NO_OPTIONS;
  checkOptions('options', options, ['timeout', 'signal', 'idempotent']);
  const { timeout, signal } = waiting(options); // spreading it would cost as much as the rest of a call's way out
  const { idempotent = false } = options;
  return { timeout, signal, idempotent: checkBoolean('options.idempotent', idempotent) };
}

/** @throws as callOptions. */
export function pingOptions(options: PingOptions | undefined): CheckedCallOptions {
  if (options === undefined) return NO_OPTIONS;
  checkOptions('options', options, ['timeout', 'signal']);
  const { timeout, signal } = waiting(options);
  return { timeout, signal, idempotent: false };
}

/** @throws as callOptions. */
export function transactionOptions(options: TransactionOptions): {
  timeout: number;
  signal: AbortSignal | undefined;
} {
  checkOptions('options', options, ['timeout', 'signal']);
  return waiting(options);
}

function waiting({ timeout = DEFAULT_TIMEOUT, signal }: PingOptions): {
  timeout: number;
  signal: AbortSignal | undefined;
} {
  checkSignal('options.signal', signal);
  signal?.throwIfAborted();
  return { timeout: checkMilliseconds('options.timeout', timeout), signal };
}

/** A pool's name or a replica's pid. */
export function checkTarget(target: unknown): string | number {
  if (typeof target === 'string') return target;
  if (typeof target === 'number' && Number.isSafeInteger(target) && target > 0) return target;
  throw badType('target', "a pool's name or a replica's pid", target);
}

export function checkPid(pid: unknown): number {
  if (typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 0) return pid;
  throw badType('pid', "a replica's pid", pid);
}

export function checkName(name: unknown): string {
  return checkString('name', name);
}
