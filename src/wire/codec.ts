/**
 * Turns a user's message into the payload that travels, once, at the call: so a message that cannot travel
 * fails there, later changes of the object do not matter, its size is known, and a relay need not look inside.
 */

import { deserialize, serialize } from 'node:v8';
import { badRange, badType } from '../arguments.js';

/** As `serialization` of `node:cluster`. */
export type Serialization = 'json' | 'advanced';

/** A message in transit. The empty string stands for `undefined`. */
export type Payload = string | Uint8Array;

/** The longest payload: characters of JSON, or bytes. */
export const MAX_PAYLOAD = 64 * 1024 * 1024;

export interface Codec {
  readonly serialization: Serialization;
  /** @throws TypeError if the message cannot be serialized, RangeError if it is longer than MAX_PAYLOAD. */
  encode(message: unknown): Payload;
  decode(payload: Payload): unknown;
}

const json: Codec = {
  serialization: 'json',
  encode(message) {
    if (message === undefined) return '';
    const payload = attempt(() => JSON.stringify(message), message);
    if (payload === undefined) throw badType('message', 'serializable as JSON', kindOf(message));
    return bounded(payload);
  },
  decode(payload) {
    return payload === '' ? undefined : JSON.parse(payload as string);
  },
};

const advanced: Codec = {
  serialization: 'advanced',
  encode(message) {
    return message === undefined ? '' : bounded(attempt(() => serialize(message), message));
  },
  decode(payload) {
    return payload === '' ? undefined : deserialize(payload as Uint8Array);
  },
};

export const codecs: Readonly<Record<Serialization, Codec>> = { json, advanced };

function attempt<T>(encode: () => T, message: unknown): T {
  try {
    return encode();
  } catch (cause) {
    const error = badType('message', 'serializable', kindOf(message));
    error.message += `: ${cause instanceof Error ? cause.message : String(cause)}`;
    error.cause = cause;
    throw error;
  }
}

/** What a message is, without what is in it: that may be secret. */
function kindOf(message: unknown): string {
  return typeof message === 'object' ? (message?.constructor?.name ?? 'Object') : typeof message;
}

function bounded<T extends Payload>(payload: T): T {
  if (payload.length > MAX_PAYLOAD) {
    throw badRange('message', `at most ${MAX_PAYLOAD} characters or bytes when serialized`, payload.length);
  }
  return payload;
}
