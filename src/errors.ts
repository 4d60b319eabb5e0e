/** The one error class of the package, and the form in which errors travel between processes. */

import { inspect } from 'node:util';
import { show } from './arguments.js';

/** What went wrong, for programs. */
export type ErrorCode =
  /** No pool has that name (any more). */
  | 'ERR_NO_SUCH_POOL'
  /** Another pool has that name. */
  | 'ERR_POOL_EXISTS'
  /** The pool has no replica to hand out. `cause` says why, if that is known. */
  | 'ERR_DISCONNECTED'
  /** A maintenance window is open, and this does not wait, or must not wait because it is inside it. */
  | 'ERR_PAUSED'
  /** Every replica has `maxQueueLength` unfinished messages, or too much is waiting to be sent to it. */
  | 'ERR_OVERLOAD'
  /** No replica has that pid, or it is shutting down. */
  | 'ERR_NO_SUCH_REPLICA'
  /** The replica died before it answered. The error has `pid`, `exitCode` and `signal`. */
  | 'ERR_REPLICA_DIED'
  /** There was no answer in time. The message says where the call was. */
  | 'ERR_TIMEOUT'
  /** The handler in the replica threw, or its reply cannot travel. `cause` says what or why. */
  | 'ERR_REMOTE'
  /** A replica did not get ready. `cause` says why. */
  | 'ERR_START_FAILED'
  /** The supervisor has given up, because its replicas died again and again. `cause` is the last error. */
  | 'ERR_RESTART_INTENSITY'
  /** The supervisor or the pool was closed. */
  | 'ERR_CLOSED'
  /** Two versions of ballermann meet, or what another process sent or wrote to shared memory makes no sense. */
  | 'ERR_PROTOCOL'
  /** The function does not work in this process or thread, such as `supervise` in a replica. */
  | 'ERR_WRONG_PROCESS'
  /** Another supervisor of this user has that name, and a control socket. */
  | 'ERR_SUPERVISOR_EXISTS'
  /** There can be no control socket here. `cause` says why. */
  | 'ERR_CONTROL_UNAVAILABLE'
  /** There are as many replicas or pools as one primary can have. */
  | 'ERR_SEGMENT_FULL'
  /** The admin server cannot listen: `cause` says why, as EADDRINUSE. */
  | 'ERR_ADMIN_UNAVAILABLE'
  /** No binary of the addon fits this Node. The message says how to build one. */
  | 'ERR_NATIVE_UNAVAILABLE';

/** What a BallermannError is made with. */
export interface ErrorDetails {
  cause?: unknown;
  /** The replica that the error is about. */
  pid?: number | undefined;
  exitCode?: number | null | undefined;
  signal?: NodeJS.Signals | null | undefined;
}

/** On every error of every copy of the package. */
const BRAND = Symbol.for('ballermann.error');

/** Every error of this package but for wrong arguments, which are a TypeError or a RangeError. `code` says what went wrong. */
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
  /** The pid of the replica that the error is about; not set where it is about none. */
  declare readonly pid: number | undefined;
  /** The exit code of that replica, once it is dead; null where a signal ended it. */
  declare readonly exitCode: number | null | undefined;
  /** The signal that ended that replica; null where it exited. */
  declare readonly signal: NodeJS.Signals | null | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    const { pid, exitCode, signal } = details;
    // Nothing is shown of what an error does not have.
    if (pid !== undefined) this.pid = pid;
    if (exitCode !== undefined) this.exitCode = exitCode;
    if (signal !== undefined) this.signal = signal;
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
    reason = 'all have died, or none is ready yet',
    cause,
  }: { reason?: string | undefined; cause?: Error | undefined } = {},
): BallermannError {
  switch (why) {
    case 'closed':
      return new BallermannError('ERR_CLOSED', `pool '${name}' is closed`);
    case 'paused':
      return new BallermannError(
        'ERR_PAUSED',
        `pool '${name}' is paused by a maintenance window; call() and transaction() wait for its end`,
      );
    case 'overload':
      return new BallermannError(
        'ERR_OVERLOAD',
        `pool '${name}' is full: every replica has as many unfinished messages as it may have; try again later`,
      );
    case 'spoiled':
      return new BallermannError(
        'ERR_PROTOCOL',
        `the shared memory of pool '${name}' has been overwritten by another process of the cluster`,
      );
    case 'empty':
      return new BallermannError('ERR_DISCONNECTED', `pool '${name}' has no replica: ${reason}`, { cause });
  }
}

export function noSuchPool(name: unknown): BallermannError {
  const named =
    typeof name === 'string' ? `${JSON.stringify(name)}: make it with balance(), in the primary` : show(name); // what can be no name
  return new BallermannError('ERR_NO_SUCH_POOL', `no pool is named ${named}`);
}

/** Of whom a message is for, in an error text. */
export function targetName(target: string | number): string {
  return typeof target === 'string' ? `pool '${target}'` : `pid ${target}`;
}

export function noSuchReplica(pid: number): BallermannError {
  return new BallermannError('ERR_NO_SUCH_REPLICA', `no replica has pid ${pid} (any more)`, { pid });
}

export function replicaIsStopping(pid: number): BallermannError {
  return new BallermannError('ERR_NO_SUCH_REPLICA', `replica ${pid} is stopping and takes no more messages`, {
    pid,
  });
}

/**
 * @param what the function that was called.
 * @param home where it works.
 * @param where the process or thread that it was called in.
 */
export function wrongProcess(what: string, home: string, where: string): BallermannError {
  return new BallermannError('ERR_WRONG_PROCESS', `${what}() works in ${home}; this is ${where}`);
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
