/** The tracing channels, what their subscribers are given, and the trace context that travels with a call. */

import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel';

/** A trace context in the form of W3C Trace Context, version 00. */
export interface TraceCarrier {
  readonly traceparent: string;
  /** At most 512 characters. */
  readonly tracestate?: string | undefined;
}

/** What every channel has: the same object comes with all events of one operation. */
export interface Trace {
  /**
   * A subscriber of 'start' may set it. What the channel is about then runs inside this function, which has to call the one that
   * it is given, once and at once, and to return what that returned.
   */
  run?: (<T>(inner: () => T) => T) | undefined;
  /** What it failed with; from the event 'error' on. */
  error?: unknown;
}

/** With the events of `ballermann:call`: a call, cast or ping, in the process that makes it. */
export interface CallTrace extends Trace {
  readonly kind: 'call' | 'cast' | 'ping';
  /** The pool that it was sent to; undefined where it went to a pid. */
  readonly pool: string | undefined;
  /** The replica that was given the message last. A replica that makes the call knows it only where it named the pid. */
  pid: number | undefined;
  /** A subscriber of 'start' may set it: it travels with the message. Left out where it is no valid trace context. */
  carrier?: TraceCarrier | undefined;
}

/** With the events of `ballermann:handle`: one message, in the replica that handles it. */
export interface HandleTrace extends Trace {
  readonly kind: 'call' | 'cast';
  /** The name of the replica's supervisor. */
  readonly supervisor: string;
  /** The replica's number. */
  readonly index: number;
  /** What a subscriber gave the caller's side; undefined where none did. */
  readonly carrier: TraceCarrier | undefined;
}

/** With the events of `ballermann:window`: one maintenance window, in the primary. Times are ms, as performance.now(). */
export interface WindowTrace extends Trace {
  readonly pool: string;
  /** When its turn came, so that it paused the pool. */
  openedAt: number | undefined;
  /** When its wait was over, so that its function began. */
  waitedAt: number | undefined;
}

/** With the events of `ballermann:reload`: one rolling reload, in the primary. Times are ms, as performance.now(). */
export interface ReloadTrace extends Trace {
  readonly supervisor: string;
  readonly maxUnavailable: number;
  /** When its turn came. */
  begunAt: number | undefined;
  /** The replicas that have come in the place of others so far, by number and new pid. */
  readonly replaced: { readonly index: number; readonly pid: number; readonly at: number }[];
}

export const calls = channel<CallTrace>('call');
export const handles = channel<HandleTrace>('handle');
export const windows = channel<WindowTrace>('window');
export const reloads = channel<ReloadTrace>('reload');

/** Channels of a name are one in the whole process, whichever copy of this package makes them. */
function channel<Context extends object>(name: string): TracingChannel<unknown, Context> {
  return tracingChannel<unknown, Context>(`ballermann:${name}`);
}

/**
 * Runs `task` with the events of an asynchronous operation: 'start' and 'end' around its first turn, then 'error' where it
 * failed, 'asyncStart' and 'asyncEnd'. As tracePromise of Node, but for the result, which may be secret and stays out.
 */
export function traced<Context extends Trace, T>(
  { start, end, asyncStart, asyncEnd, error }: TracingChannel<unknown, Context>,
  trace: Context,
  task: () => Promise<T>,
): Promise<T> {
  const settled = (): void => {
    asyncStart.publish(trace);
    asyncEnd.publish(trace);
  };
  const failed = (reason: unknown): void => {
    trace.error = reason;
    error.publish(trace);
    settled();
  };
  return start.runStores(trace, () => {
    let promise: Promise<T>;
    try {
      promise = inContext(trace, task);
    } catch (reason) {
      promise = Promise.reject(reason);
    } finally {
      end.publish(trace);
    }
    // What it answers is unhandled where its caller leaves it so: another promise than the one that is handled here.
    return promise.then(
      (value) => {
        settled();
        return value;
      },
      (reason: unknown) => {
        failed(reason);
        throw reason;
      },
    );
  });
}

/** Runs what ends at once: 'start', 'error' where it throws, 'end'. */
export function tracedNow<Context extends Trace>(
  { start, end, error }: TracingChannel<unknown, Context>,
  trace: Context,
  task: () => void,
): void {
  start.runStores(trace, () => {
    try {
      inContext(trace, task);
    } catch (reason) {
      trace.error = reason;
      error.publish(trace);
      throw reason;
    } finally {
      end.publish(trace);
    }
  });
}

/** Runs a handler between 'start' and 'end'. What it returns may be a promise: `handled` says how it ended. */
export function tracedHandler(trace: HandleTrace, handler: () => unknown): unknown {
  return handles.start.runStores(trace, () => {
    try {
      return inContext(trace, handler);
    } finally {
      handles.end.publish(trace);
    }
  });
}

/** The end of what `tracedHandler` began. @param failure with what it failed. */
export function handled(trace: HandleTrace, failure?: { readonly error: unknown }): void {
  if (failure !== undefined) {
    trace.error = failure.error;
    handles.error.publish(trace);
  }
  handles.asyncStart.publish(trace);
  handles.asyncEnd.publish(trace);
}

function inContext<T>({ run }: Trace, task: () => T): T {
  return run === undefined ? task() : run(task);
}

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const MAX_TRACESTATE = 512; // characters

export function isTraceparent(value: unknown): boolean {
  return typeof value === 'string' && value.length === 55 && TRACEPARENT.test(value);
}

export function isTracestate(value: unknown): boolean {
  return typeof value === 'string' && value.length <= MAX_TRACESTATE;
}

/** What a subscriber has set, where it can travel. */
export function validCarrier({ carrier }: CallTrace): TraceCarrier | undefined {
  if (typeof carrier !== 'object' || carrier === null) return undefined;
  const { traceparent, tracestate = '' } = carrier;
  return isTraceparent(traceparent) && isTracestate(tracestate) ? { traceparent, tracestate } : undefined;
}
