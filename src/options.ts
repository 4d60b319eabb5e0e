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
  /** ms until ERR_TIMEOUT. The time that the call waits for a window to end counts. @default 5000 */
  timeout?: number;
  /** When it aborts, the call rejects with its reason, and the handler's `context.signal` aborts. */
  signal?: AbortSignal;
  /**
   * Whether the message may run twice. If true, and the replica dies after it has begun the call, a call to a pool goes to
   * another replica. If false, it rejects with ERR_REPLICA_DIED. @default false
   */
  idempotent?: boolean;
}

export interface PingOptions {
  /** ms until ERR_TIMEOUT. @default 5000 */
  timeout?: number;
  /** When it aborts, the ping rejects with its reason. */
  signal?: AbortSignal;
}

export interface TransactionOptions {
  /** ms to wait for a window to end. The function itself has no time limit. @default 5000 */
  timeout?: number;
  /** When it aborts during that wait, the transaction rejects with its reason. */
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
