/**
 * Turns a user's message into the payload that travels, once, at the call: so a message that cannot travel
 * fails there, later changes of the object do not matter, and its size is known.
 */

import { badRange, badType } from '../arguments.js';
import { BallermannError, toErrorData } from '../errors.js';
import { addon } from '../memory/addon.js';
import { NOT_PLAIN, Snapshot } from './snapshot.js';

/** How messages travel, as `serialization` of node:cluster. 'json': as JSON. 'advanced': as structuredClone copies them. */
export type Serialization = 'json' | 'advanced';

/** A message as it travels; undefined for an undefined one. */
export interface Payload {
  /** What is put into an entry: plain data; or bytes, as `Addon.serialize` gives them. */
  readonly value: unknown;
  /** About its characters as JSON, or its bytes. */
  readonly weight: number;
}

/** The heaviest payload. */
export const MAX_PAYLOAD = 64 * 1024 * 1024;

export const NOTHING: Payload = { value: undefined, weight: 0 };

/**
 * What is no plain data travels as its JSON text, in a record with this key, which plain data never has. So whatever was
 * written once, at the call, can be written again with its batch: a text has no depth, and no toJSON.
 */
const TEXT = '__proto__';

export interface Codec {
  readonly serialization: Serialization;
  /** @throws TypeError if the message cannot be serialized, RangeError if it is heavier than MAX_PAYLOAD. */
  encode(message: unknown): Payload;
  /** @param value of a payload that has arrived. @throws Error where it is none. */
  decode(value: unknown): unknown;
}

const json: Codec = {
  serialization: 'json',
  encode(message) {
    if (message === undefined) return NOTHING;
    return bounded(attempt(() => ofPlain(message) ?? ofText(message), message));
  },
  decode(value) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, TEXT)) return value;
    return JSON.parse((value as Record<string, string>)[TEXT] as string);
  },
};

const advanced: Codec = {
  serialization: 'advanced',
  encode(message) {
    if (message === undefined) return NOTHING;
    const value = attempt(() => addon().serialize(message), message);
    return bounded({ value, weight: value.length });
  },
  decode: (value) => (value === undefined ? undefined : addon().deserialize(value)),
};

export const codecs: Readonly<Record<Serialization, Codec>> = {
  json,
  advanced,
};

/** @param cause what a codec says of a reply that has arrived. */
export function unreadableReply(cause: unknown): BallermannError {
  // V8 needs more stack to read some values than it has needed to write them.
  if (cause instanceof RangeError)
    return new BallermannError(
      'ERR_REMOTE',
      'the reply is nested too deeply to be read; return a flatter one',
      { cause },
    );
  return new BallermannError('ERR_PROTOCOL', 'the reply cannot be decoded', { cause });
}

/** Undefined for what JSON.stringify must be asked about. */
function ofPlain(message: unknown): Payload | undefined {
  if (typeof message === 'function' || typeof message === 'symbol') return undefined;
  const snapshot = new Snapshot(MAX_PAYLOAD);
  const value = snapshot.of(message);
  return value === NOT_PLAIN ? undefined : { value, weight: snapshot.weight };
}

function ofText(message: unknown): Payload {
  const text = JSON.stringify(message);
  if (text === undefined) throw new Error('JSON cannot represent it');
  return { value: { [TEXT]: text }, weight: text.length };
}

function attempt<T>(encode: () => T, message: unknown): T {
  try {
    return encode();
  } catch (cause) {
    throw notSerializable(message, cause);
  }
}

/** Tells what the message is, without what is in it: that may be secret. */
function notSerializable(message: unknown, cause: unknown): TypeError {
  const error = badType('message', 'serializable', kindOf(message));
  error.message += `: ${toErrorData(cause).message}`;
  error.cause = cause;
  return error;
}

/** Never throws: a message may be a Proxy whose every trap does. */
function kindOf(message: unknown): string {
  if (typeof message !== 'object') return typeof message;
  try {
    return String(message?.constructor?.name ?? 'Object');
  } catch {
    return 'Object';
  }
}

function bounded(payload: Payload): Payload {
  if (payload.weight > MAX_PAYLOAD) {
    const expected = `at most ${MAX_PAYLOAD} characters or bytes long when serialized`;
    throw badRange('message', expected, payload.weight);
  }
  return payload;
}
