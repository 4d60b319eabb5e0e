/**
 * Everything that passes between the primary and a replica, as two tagged unions, and the checks that let
 * nothing else in. Entries travel many at a time: a batch is an array of them.
 */

import type { ErrorData } from '../errors.js';
import { isTraceparent, isTracestate, type TraceCarrier } from '../tracing.js';

export const PROTOCOL_VERSION = 2;

/**
 * A message with the payload, or without one. With several it is a run: as many messages, whose ids follow one another.
 * So a batch of a hundred calls is one entry, which costs half as much to write and to parse as a hundred.
 */
type Run<Tag> = readonly [tag: Tag, id: number, ...payloads: unknown[]];

/** `id` is the primary's, one sequence a replica; every message that has one is answered by 'result' or 'failure'. */
export type ToReplica =
  | Run<'call'>
  | Run<'cast'>
  /** One call or cast with the trace context of its caller. It joins no run. */
  | readonly [tag: 'traced', id: number, kind: 'call' | 'cast', ...context: WireContext, payload?: unknown]
  | readonly [tag: 'ping', id: number]
  /** The caller of `id` has stopped waiting. */
  | readonly [tag: 'cancel', id: number]
  /** Answered by 'alive' in the same turn of the event loop. */
  | readonly [tag: 'probe']
  /** The last window has ended: requests that are held go on. */
  | readonly [tag: 'resumed']
  /** Finish what runs, run the shutdown hooks, exit. */
  | readonly [tag: 'stop', reason: string]
  /** Answers to a 'request' of the replica, by the replica's id. */
  | Run<'result'>
  | readonly [tag: 'failure', id: number, error: ErrorData];

type Request = readonly [
  id: number,
  kind: RequestKind,
  target: string | number,
  timeout: number,
  idempotent: boolean,
];

/** A trace context as it travels: `tracestate` is empty where there is none. */
type WireContext = readonly [traceparent: string, tracestate: string];

export type ToPrimary =
  /** The preload is in place: the replica can take entries. */
  | readonly [tag: 'hello', protocol: number]
  | readonly [tag: 'ready']
  /** handle() was called: what is in the mailbox is taken from now on. */
  | readonly [tag: 'handles']
  /** The event loop turns. */
  | readonly [tag: 'alive']
  /** An uncaught error; the exit follows. */
  | readonly [tag: 'crash', error: ErrorData]
  /** The replica was asked to go (SIGTERM) and wants an orderly stop. */
  | readonly [tag: 'leave', reason: string]
  | Run<'result'>
  | readonly [tag: 'failure', id: number, error: ErrorData]
  /** A call, cast or ping of the replica's own, for the primary to relay. `id` is the replica's. */
  | readonly [tag: 'request', ...Request, payload?: unknown]
  /** The same with the trace context of the caller. */
  | readonly [tag: 'tracedRequest', ...Request, ...context: WireContext, payload?: unknown]
  /** The replica has stopped waiting for its request `id`. */
  | readonly [tag: 'cancel', id: number];

/** One message. @param payload left out where it is undefined, which JSON has no word for. */
export function entryOf<Tag extends 'call' | 'cast' | 'result'>(
  tag: Tag,
  id: number,
  payload: unknown,
): Run<Tag> {
  return payload === undefined ? [tag, id] : [tag, id, payload];
}

/** One message with the trace context of its caller. */
export function tracedEntryOf(
  kind: 'call' | 'cast',
  id: number,
  { traceparent, tracestate = '' }: TraceCarrier,
  payload: unknown,
): ToReplica {
  const entry = ['traced', id, kind, traceparent, tracestate] as const;
  return payload === undefined ? entry : [...entry, payload];
}

/** A request of a replica, without a payload. */
export function requestOf(
  request: Request,
  carrier: TraceCarrier | undefined,
): readonly ['request', ...Request] | readonly ['tracedRequest', ...Request, ...WireContext] {
  if (carrier === undefined) return ['request', ...request];
  return ['tracedRequest', ...request, carrier.traceparent, carrier.tracestate ?? ''];
}

/** Appends `next` to `last` where it continues its run. @returns whether it did. */
export function join(last: ToReplica | ToPrimary, next: ToReplica | ToPrimary): boolean {
  const [tag, id] = next;
  if (next.length !== 3 || last.length < 3 || tag !== last[0] || !runs.has(tag)) return false;
  const run = last as unknown as [tag: string, id: number, ...payloads: unknown[]];
  if (run[1] + run.length - 2 !== id) return false;
  run.push(next[2]);
  return true;
}

/** Hands each message of an entry to `take`. */
export function eachOf<Tag>(entry: Run<Tag>, take: (tag: Tag, id: number, payload: unknown) => void): void {
  const [tag, id] = entry;
  take(tag, id, entry[2]);
  for (let i = 3; i < entry.length; i++) take(tag, id + i - 2, entry[i]);
}

export type RequestEntry = Extract<ToPrimary, readonly ['request' | 'tracedRequest', ...unknown[]]>;

export type RequestKind = 'call' | 'cast' | 'ping';

type Check = (value: unknown) => boolean;

const isId: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isText: Check = (value) => typeof value === 'string';
const isBoolean: Check = (value) => typeof value === 'boolean';
const isTarget: Check = (value) => isText(value) || isId(value);
const isTimeout: Check = (value) => typeof value === 'number' && value >= 0 && value < 2 ** 31;
const isHandledKind: Check = (value) => value === 'call' || value === 'cast';
const isKind: Check = (value) => isHandledKind(value) || value === 'ping';
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

/** Deeper causes than these never come from toErrorData; a limit keeps a forged chain from filling the stack. */
const MAX_CAUSES = 2;

const isErrorData: Check = (value) => isErrorChain(value, MAX_CAUSES);

function isErrorChain(value: unknown, causes: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { name, message, stack, code, pid, exitCode, signal, cause } = value as Record<string, unknown>;
  return (
    isText(name) &&
    isText(message) &&
    [stack, code, signal].every(optional(isText)) &&
    [pid, exitCode].every(optional(isId)) &&
    (cause === undefined || (causes > 0 && isErrorChain(cause, causes - 1)))
  );
}

interface Shape {
  /** Of the elements after the tag. */
  readonly checks: readonly Check[];
  /** How many payloads may follow. */
  readonly payloads: number;
}

const plain = (...checks: Check[]): Shape => ({ checks, payloads: 0 });
const withPayload = (...checks: Check[]): Shape => ({ checks, payloads: 1 });
const run: Shape = { checks: [isId], payloads: Number.POSITIVE_INFINITY };

const runs: ReadonlySet<unknown> = new Set(['call', 'cast', 'result']);

const request = [isId, isKind, isTarget, isTimeout, isBoolean];

const toReplica = new Map<unknown, Shape>([
  ['call', run],
  ['cast', run],
  ['traced', withPayload(isId, isHandledKind, isTraceparent, isTracestate)],
  ['ping', plain(isId)],
  ['cancel', plain(isId)],
  ['probe', plain()],
  ['resumed', plain()],
  ['stop', plain(isText)],
  ['result', run],
  ['failure', plain(isId, isErrorData)],
]);

const toPrimary = new Map<unknown, Shape>([
  ['hello', plain(isId)],
  ['ready', plain()],
  ['handles', plain()],
  ['alive', plain()],
  ['crash', plain(isErrorData)],
  ['leave', plain(isText)],
  ['result', run],
  ['failure', plain(isId, isErrorData)],
  ['request', withPayload(...request)],
  ['tracedRequest', withPayload(...request, isTraceparent, isTracestate)],
  ['cancel', plain(isId)],
]);

export function isToReplica(entry: unknown): entry is ToReplica {
  return fits(toReplica, entry);
}

export function isToPrimary(entry: unknown): entry is ToPrimary {
  return fits(toPrimary, entry);
}

function fits(shapes: ReadonlyMap<unknown, Shape>, entry: unknown): boolean {
  if (!Array.isArray(entry)) return false;
  const shape = shapes.get(entry[0]);
  if (shape === undefined) return false;
  const { checks, payloads } = shape;
  const required = checks.length + 1;
  if (entry.length < required || entry.length > required + payloads) return false;
  for (let i = 0; i < checks.length; i++) {
    if (!checks[i]?.(entry[i + 1])) return false;
  }
  return true;
}

/** Hands each entry of a batch that fits to `take`, in order; answers how many did not fit. */
export function unpack<Entry>(
  batch: unknown,
  isEntry: (entry: unknown) => entry is Entry,
  take: (entry: Entry) => void,
): number {
  if (!Array.isArray(batch)) return 1;
  let malformed = 0;
  for (const entry of batch) {
    if (isEntry(entry)) take(entry);
    else malformed++;
  }
  return malformed;
}
