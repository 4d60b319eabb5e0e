/** Calls and answers as NATS messages: the value is the payload, everything else a header. Headers cost, so defaults have none. */

import { deserialize, serialize } from 'node:v8';
import { headers, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import { badType, MAX_TIMER } from '../arguments.js';
import type { Serialization } from '../channel/codec.js';
import { BallermannError, type ErrorData, fromPrimary, toErrorData } from '../errors.js';
import { DEFAULT_TIMEOUT } from '../options.js';
import { isTraceparent, isTracestate, type TraceCarrier } from '../tracing.js';

const TIMEOUT = 'Ballermann-Timeout'; // ms that are left; without it, DEFAULT_TIMEOUT
const IDEMPOTENT = 'Ballermann-Idempotent'; // '1'
const SERIALIZATION = 'Ballermann-Serialization'; // without it, json
const TRACEPARENT = 'traceparent';
const TRACESTATE = 'tracestate';
const ERROR_CODE = 'Nats-Service-Error-Code'; // a number as HTTP has; both as micro services have them
const ERROR_TEXT = 'Nats-Service-Error';
const ERROR = 'Ballermann-Error'; // the code of a BallermannError
const MEMBER = 'Ballermann-Member'; // who has refused

/** The member has not begun the call: another one may. */
const REFUSED = 503;

/** What a tracestate may be made of, and a header too. */
const PRINTABLE = /^[\x20-\x7e]*$/;

/** What travels with a call besides its message. */
export interface CallMeta {
  /** ms that the caller still waits. */
  readonly timeout: number;
  readonly idempotent: boolean;
  readonly serialization: Serialization;
  readonly carrier: TraceCarrier | undefined;
}

/** @returns undefined where every value is the default. */
export function callHeaders({ timeout, idempotent, serialization, carrier }: CallMeta): MsgHdrs | undefined {
  if (timeout === DEFAULT_TIMEOUT && !idempotent && serialization === 'json' && carrier === undefined)
    return undefined;
  const all = headers();
  if (timeout !== DEFAULT_TIMEOUT) all.append(TIMEOUT, String(Math.max(Math.ceil(timeout), 1)));
  if (idempotent) all.append(IDEMPOTENT, '1');
  if (serialization !== 'json') all.append(SERIALIZATION, serialization);
  if (carrier !== undefined) {
    all.append(TRACEPARENT, carrier.traceparent);
    if (carrier.tracestate && PRINTABLE.test(carrier.tracestate)) all.append(TRACESTATE, carrier.tracestate);
  }
  return all;
}

const DEFAULTS: CallMeta = {
  timeout: DEFAULT_TIMEOUT,
  idempotent: false,
  serialization: 'json',
  carrier: undefined,
};

/** Whatever makes no sense counts as left out: anybody may have sent it. */
export function callMeta({ headers }: Msg): CallMeta {
  if (headers === undefined) return DEFAULTS;
  const timeout = Number(headers.get(TIMEOUT));
  const traceparent = headers.get(TRACEPARENT);
  const tracestate = headers.get(TRACESTATE);
  return {
    timeout: timeout > 0 && timeout <= MAX_TIMER ? timeout : DEFAULT_TIMEOUT,
    idempotent: headers.get(IDEMPOTENT) === '1',
    serialization: headers.get(SERIALIZATION) === 'advanced' ? 'advanced' : 'json',
    carrier: isTraceparent(traceparent) && isTracestate(tracestate) ? { traceparent, tracestate } : undefined,
  };
}

const NOTHING = new Uint8Array(0);

/** @throws TypeError for what cannot be serialized. */
export function encode(value: unknown, serialization: Serialization): Uint8Array {
  if (value === undefined) return NOTHING;
  try {
    if (serialization === 'advanced') return serialize(value);
    const text = JSON.stringify(value);
    if (text === undefined) throw new Error('JSON cannot represent it');
    return Buffer.from(text);
  } catch (cause) {
    const error = badType('message', 'serializable', typeof value); // what is in it may be secret
    error.message += `: ${toErrorData(cause).message}`;
    error.cause = cause;
    throw error;
  }
}

/** @throws Error where the bytes are no such value. */
export function decode(bytes: Uint8Array, serialization: Serialization): unknown {
  if (bytes.length === 0) return undefined;
  // What it reads may lie in the bytes themselves, which must not be those that other messages came with.
  if (serialization === 'advanced') return deserialize(new Uint8Array(bytes));
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString());
}

/** What a message says that anybody may have sent: undefined where it is no object as JSON. Check what is in it. */
export function objectIn(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

export interface ErrorMessage {
  readonly headers: MsgHdrs;
  readonly data: Uint8Array;
}

/** @param member who refuses the call before it has begun; undefined where it may have begun. */
export function errorMessage(error: unknown, member: string | undefined): ErrorMessage {
  const data = toErrorData(error);
  const all = headers();
  all.append(ERROR_CODE, String(member === undefined ? httpCode(data.code) : REFUSED));
  all.append(ERROR_TEXT, data.message.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 200));
  if (data.name === 'BallermannError' && data.code !== undefined) all.append(ERROR, data.code);
  if (member !== undefined) all.append(MEMBER, member);
  return { headers: all, data: Buffer.from(JSON.stringify(data)) };
}

function httpCode(code: string | undefined): number {
  if (code === 'ERR_TIMEOUT') return 504;
  return code === 'ERR_INVALID_ARG_TYPE' || code === 'ERR_OUT_OF_RANGE' ? 400 : 500;
}

/** What an answer says. */
export type Answer =
  | { readonly kind: 'result'; readonly data: Uint8Array }
  | { readonly kind: 'refused'; readonly member: string; readonly error: Error }
  | { readonly kind: 'failed'; readonly error: Error }
  /** Of the server: nobody listens on that subject. */
  | { readonly kind: 'nobody' };

export function answerOf(message: Msg): Answer {
  const { headers, data } = message;
  if (headers === undefined) return { kind: 'result', data };
  if (isNobody(message)) return { kind: 'nobody' };
  const code = headers.get(ERROR_CODE);
  if (code === '') return { kind: 'result', data };
  const error = errorOf(data, headers.get(ERROR_TEXT));
  const member = headers.get(MEMBER);
  return Number(code) === REFUSED && member !== ''
    ? { kind: 'refused', member, error }
    : { kind: 'failed', error };
}

/** Whether it is the server's word that nobody listens on the subject of the request. */
export function isNobody({ headers, data }: Msg): boolean {
  return headers?.code === REFUSED && data.length === 0;
}

function errorOf(data: Uint8Array, text: string): Error {
  try {
    return fromPrimary(JSON.parse(Buffer.from(data).toString()) as ErrorData);
  } catch (cause) {
    return new BallermannError('ERR_PROTOCOL', `the answer is an error that cannot be read: ${text}`, {
      cause,
    });
  }
}
