/**
 * What travels over a control socket: one JSON object a line. The client asks, and the supervisor answers with any number of
 * events and then a result or an error. A request has to wait until the one before it has its answer; only 'close' may come
 * while a window is open or being opened.
 */

import { show } from '../arguments.js';
import { BallermannError } from '../errors.js';
import type { SupervisorMetrics } from '../primary/metrics/supervisor-metrics.js';

/** Changed when a client of the version before would be misunderstood. */
export const PROTOCOL = 1;

/** Bytes of a request. */
export const MAX_REQUEST = 8_192;

export type Request =
  /** @returns Status */
  | { readonly verb: 'status' }
  /** Replaces all replicas. Progress events. @returns nothing */
  | { readonly verb: 'reload'; readonly maxUnavailable?: number }
  /** To so many replicas, or by so many more or fewer. @returns Resized */
  | { readonly verb: 'resize'; readonly replicas?: number; readonly by?: number }
  /**
   * Opens a window when every replica is idle, for which each has `wait` ms. It lasts until 'close', the end of the connection,
   * or `timeout` ms after the request. The event 'open'. @returns Closed
   */
  | { readonly verb: 'window'; readonly pool: string; readonly wait?: number; readonly timeout?: number }
  /** Ends the window; its request gets the answer. */
  | { readonly verb: 'close' }
  /** Stops the supervisor in order. @returns Stopped */
  | { readonly verb: 'stop' };

export type Verb = Request['verb'];

/** Of each verb, its fields and their types. All but `pool` may be left out. */
const FIELDS: Readonly<Record<Verb, Readonly<Record<string, 'number' | 'string'>>>> = {
  status: {},
  reload: { maxUnavailable: 'number' },
  resize: { replicas: 'number', by: 'number' },
  window: { pool: 'string', wait: 'number', timeout: 'number' },
  close: {},
  stop: {},
};

export interface Status extends SupervisorMetrics {
  readonly version: string;
  readonly pid: number;
  /** The path of the script. */
  readonly script: string;
}

export interface Resized {
  readonly from: number;
  readonly to: number;
}

export interface Closed {
  /** ms for which the window was open. */
  readonly open: number;
}

export interface Stopped {
  /** Whether a replica did not stop in time and was killed. */
  readonly killed: boolean;
  /** Whether the process ends now. The connection ends with it. */
  readonly exits: boolean;
}

/** The result of each verb, as JSON holds it. */
export interface Results {
  readonly status: Status;
  readonly reload: null;
  readonly resize: Resized;
  readonly window: Closed;
  readonly stop: Stopped;
}

export type Event =
  /** So many of the replicas have been replaced. */
  | { readonly event: 'progress'; readonly done: number; readonly of: number }
  /** The window is open, and nothing runs. */
  | { readonly event: 'open' };

export interface Failure {
  readonly error: { readonly code: string; readonly message: string };
}

export type Answer = Event | { readonly result: unknown } | Failure;

/** @throws BallermannError ERR_PROTOCOL that says what is wrong with the line. */
export function parseRequest(line: string): Request {
  const { protocol, verb, ...fields } = parseObject(line);
  if (protocol !== PROTOCOL)
    throw misunderstood(
      `this supervisor speaks version ${PROTOCOL} of the control protocol, and was asked in ${shown(protocol)}: ` +
        'use the ballermann that it was started with',
    );
  if (typeof verb !== 'string' || !Object.hasOwn(FIELDS, verb))
    throw misunderstood(`${shown(verb)} is no verb; the verbs are ${Object.keys(FIELDS).join(', ')}`);
  const types = FIELDS[verb as Verb];
  for (const [name, value] of Object.entries(fields)) {
    if (!Object.hasOwn(types, name)) throw misunderstood(`'${verb}' has no field ${shown(name)}`);
    if (typeof value !== types[name])
      throw misunderstood(`the field '${name}' of '${verb}' must be a ${types[name]}; got ${shown(value)}`);
  }
  if (verb === 'window' && fields['pool'] === undefined)
    throw misunderstood("'window' needs the field 'pool'");
  return { verb, ...fields } as Request;
}

/** @throws BallermannError ERR_PROTOCOL */
export function parseObject(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // What is no JSON is no object either.
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw misunderstood(`a line must be a JSON object; got ${shown(line)}`);
}

export function toFailure(error: unknown): Failure {
  const { code, message } = (
    error instanceof Error ? error : new Error(String(error))
  ) as NodeJS.ErrnoException;
  return { error: { code: typeof code === 'string' ? code : 'ERR_UNKNOWN', message } };
}

export function misunderstood(text: string): BallermannError {
  return new BallermannError('ERR_PROTOCOL', text);
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : show(value);
}
