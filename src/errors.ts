/** The one error class of the package, and the form in which errors travel between processes. */

import { inspect } from 'node:util';
import { show } from './arguments.js';

/** What went wrong, for programs. */
export type ErrorCode =
  /** No pool has that name, here or any more. */
  | 'ERR_NO_SUCH_POOL'
  /** Another pool has that name. */
  | 'ERR_POOL_EXISTS'
  /** The pool has no replica to hand out. `cause` says why where that is known. */
  | 'ERR_DISCONNECTED'
  /** A maintenance window is open. */
  | 'ERR_PAUSED'
  /** Every replica has its `maxQueueLength` of unfinished messages, or as many bytes waiting as may wait. */
  | 'ERR_OVERLOAD'
  /** No replica has that pid, or it is shutting down. */
  | 'ERR_NO_SUCH_REPLICA'
  /** The replica died before it answered. Carries `pid`, `exitCode` and `signal`. */
  | 'ERR_REPLICA_DIED'
  /** Not done in time. */
  | 'ERR_TIMEOUT'
  /** The handler in the replica threw, or its reply cannot travel; `cause` is what it threw, or why. */
  | 'ERR_REMOTE'
  /** A replica did not get ready; `cause` says why. */
  | 'ERR_START_FAILED'
  /** More restarts than `intensity` within `period`. */
  | 'ERR_RESTART_INTENSITY'
  /** The supervisor or the pool was closed. */
  | 'ERR_CLOSED'
  /** The two ends do not speak the same protocol or segment layout, or a message to one cannot be written. */
  | 'ERR_PROTOCOL'
  /** The function does not work in this process or thread (`supervise` in a replica, say). */
  | 'ERR_WRONG_PROCESS'
  /** No room in the segment for another replica or pool. */
  | 'ERR_SEGMENT_FULL'
  /** The addon is missing or was built for another Node. */
  | 'ERR_NATIVE_UNAVAILABLE';

export interface ErrorDetails {
  cause?: unknown;
  /** The replica that the error is about. */
  pid?: number | undefined;
  exitCode?: number | null | undefined;
  signal?: NodeJS.Signals | null | undefined;
}

/** On every error of every copy of the package. */
const BRAND = Symbol.for('ballermann.error');

export class BallermannError extends Error {
  /**
   * A replica has the class twice at least: the preload's, whose errors calls reject with, and that of the copy which the
   * script imports. An error of one is an instance of the other.
   * @internal
   */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: what stands on the right of `instanceof`, which may extend this class
    return isInstance(this, value);
  }

  /** @internal */
  get [BRAND](): true {
    return true;
  }

  override readonly name = 'BallermannError';
  readonly code: ErrorCode;
  readonly pid: number | undefined;
  readonly exitCode: number | null | undefined;
  readonly signal: NodeJS.Signals | null | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.pid = details.pid;
    this.exitCode = details.exitCode;
    this.signal = details.signal;
  }
}

function isInstance(type: typeof BallermannError, value: unknown): boolean {
  if (type !== BallermannError) return Function.prototype[Symbol.hasInstance].call(type, value);
  return typeof value === 'object' && value !== null && BRAND in value;
}

/** Why a pool has no pid to give. */
export type Refusal = 'paused' | 'empty' | 'overload' | 'closed' | 'spoiled';

/** @param detail for 'empty': why it has no replicas, and what ended them. */
export function poolRefusal(
  name: string,
  why: Refusal,
  {
    reason = 'it has no replicas now',
    cause,
  }: { reason?: string | undefined; cause?: Error | undefined } = {},
): BallermannError {
  switch (why) {
    case 'closed':
      return new BallermannError('ERR_CLOSED', `pool '${name}' is closed`);
    case 'paused':
      return new BallermannError('ERR_PAUSED', `pool '${name}' is paused: a maintenance window is open`);
    case 'overload':
      return new BallermannError(
        'ERR_OVERLOAD',
        `every replica of pool '${name}' has as much to do as it may`,
      );
    case 'spoiled':
      return new BallermannError('ERR_PROTOCOL', `the ring of pool '${name}' is being overwritten`);
    case 'empty':
      return new BallermannError('ERR_DISCONNECTED', `pool '${name}' is disconnected: ${reason}`, { cause });
  }
}

export function noSuchPool(name: unknown): BallermannError {
  return new BallermannError('ERR_NO_SUCH_POOL', `no pool is named ${nameOf(name)}`);
}

function nameOf(name: unknown): string {
  return typeof name === 'string' ? JSON.stringify(name) : show(name);
}

export function noSuchReplica(pid: number, why = 'no replica has'): BallermannError {
  return new BallermannError('ERR_NO_SUCH_REPLICA', `${why} pid ${pid}`, {
    pid,
  });
}

/**
 * @param what the function that was called.
 * @param home where it works.
 * @param where the process or thread that it was called in.
 */
export function wrongProcess(what: string, home: string, where: string): BallermannError {
  return new BallermannError('ERR_WRONG_PROCESS', `${what} works in ${home}; this is ${where}`);
}

/** An error as plain data. What does not fit (own fields, deeper causes) stays behind. */
export interface ErrorData {
  name: string;
  message: string;
  stack?: string;
  code?: string;
  pid?: number;
  exitCode?: number;
  signal?: string;
  cause?: ErrorData;
}

const MAX_TEXT = 16_384; // characters of a message or stack that travel

/** Never throws, whatever was thrown: a getter of a hostile error included. */
export function toErrorData(thrown: unknown, depth = 0): ErrorData {
  try {
    if (!(thrown instanceof Error)) return { name: 'Error', message: text(inspect(thrown)) };
    const data: ErrorData = {
      name: text(thrown.name),
      message: text(thrown.message),
    };
    if (thrown.stack !== undefined) data.stack = text(thrown.stack);
    const { code } = thrown as { code?: unknown };
    if (typeof code === 'string') data.code = text(code);
    if (thrown instanceof BallermannError) {
      if (isCount(thrown.pid)) data.pid = thrown.pid;
      if (isCount(thrown.exitCode)) data.exitCode = thrown.exitCode;
      if (typeof thrown.signal === 'string') data.signal = thrown.signal;
    }
    if (thrown.cause !== undefined && depth < 2) data.cause = toErrorData(thrown.cause, depth + 1);
    return data;
  } catch {
    return { name: 'Error', message: 'an error that cannot be read' };
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function text(value: unknown): string {
  return String(value).slice(0, MAX_TEXT);
}

/** An error that was thrown in another process: its name, message, code and stack there. */
export function fromErrorData(data: ErrorData): Error {
  const error = new Error(data.message, data.cause && { cause: fromErrorData(data.cause) });
  Object.defineProperty(error, 'name', {
    value: data.name,
    configurable: true,
    writable: true,
  });
  if (data.stack !== undefined) error.stack = data.stack;
  if (data.code !== undefined) Object.assign(error, { code: data.code });
  return error;
}

/** The primary's own BallermannError, as the replica that asked for the call rejects with it. */
export function fromPrimary(data: ErrorData): Error {
  if (data.name !== 'BallermannError' || data.code === undefined) return fromErrorData(data);
  return new BallermannError(data.code as ErrorCode, data.message, {
    cause: data.cause && fromErrorData(data.cause),
    pid: data.pid,
    exitCode: data.exitCode,
    signal: data.signal as NodeJS.Signals | undefined,
  });
}
