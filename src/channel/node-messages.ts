/**
 * Which of Node's own internal messages may come from a worker: those that node:cluster and node:child_process of the
 * primary take without an exception. They check none of it themselves. All that an honest worker of Node 20 to 26 sends
 * is among them.
 */

import net, { isIP } from 'node:net';
import path from 'node:path';
import { isListenQuery, LISTEN } from './listening.js';

/** What a primary's end of a channel says of the handles that it has sent. */
export interface HandleSender {
  /** An array while a handle is under way. */
  readonly _handleQueue?: unknown;
}

type Fields = Readonly<Record<string, unknown>>;

/** A worker's question for a socket. */
export interface NodeQuery extends Fields {
  readonly cmd: 'NODE_CLUSTER';
  readonly act: 'queryServer';
}

type Check = (value: unknown) => boolean;

const MAX_INT32 = 2 ** 31 - 1;

/** Kinds of handles, and what Node calls of each as soon as it has come. */
const HANDLES: ReadonlyMap<unknown, string | undefined> = new Map([
  ['net.Native', undefined],
  ['net.Server', 'listen'],
  ['net.Socket', 'readStart'],
  ['dgram.Native', undefined],
  ['dgram.Socket', 'recvStart'],
  // Since Node 26. One that does not know it has no conversion for it.
  ...('_TransferredBoundSocket' in net ? [['net.BoundSocket', 'listen'] as const] : []),
]);

const DATAGRAMS: ReadonlySet<unknown> = new Set(['udp4', 'udp6']);

/** @returns what Node cannot take; undefined where the message is harmless. @param handle that came with it. */
export function misfitOf(message: unknown, handle: unknown, sender: HandleSender): string | undefined {
  if (typeof message !== 'object' || message === null) return 'sent no message';
  const fields = message as Fields;
  switch (fields['cmd']) {
    case 'NODE_HANDLE_ACK':
    case 'NODE_HANDLE_NACK':
      return Array.isArray(sender._handleQueue) ? undefined : 'answered a handle that it was not sent';
    case 'NODE_HANDLE':
      return isAbsent(handle) || isKnownHandle(fields, handle) ? undefined : 'sent a handle of no known kind';
    case 'NODE_CLUSTER':
      return misfitOfCluster(fields);
    default:
      return undefined;
  }
}

/** Else a question is about an address and a port, whatever stands there. */
export function isDescriptor(fd: unknown): fd is number {
  return typeof fd === 'number' && fd >= 0;
}

export function isNodeQuery(message: unknown): message is NodeQuery {
  if (typeof message !== 'object' || message === null) return false;
  const { cmd, act } = message as Fields;
  return cmd === 'NODE_CLUSTER' && act === 'queryServer';
}

/** The number by which a worker knows the answer to its question for a socket; undefined where the message is none. */
export function seqOfQuery(message: unknown): number | undefined {
  const { cmd, act, seq } = (message ?? {}) as Fields;
  const isQuery = cmd === 'NODE_CLUSTER' && (act === 'queryServer' || act === LISTEN);
  return isQuery && isWithin(seq, 0, Number.MAX_SAFE_INTEGER) ? seq : undefined;
}

function isKnownHandle({ type, dgramType, key }: Fields, handle: unknown): boolean {
  if (!HANDLES.has(type)) return false;
  const called = HANDLES.get(type);
  if (called !== undefined && typeof (handle as Fields)[called] !== 'function') return false;
  return type === 'dgram.Socket' ? DATAGRAMS.has(dgramType) : isName(key);
}

/** Node looks it up in a plain object, and takes what every object inherits for its own. */
function isName(value: unknown): boolean {
  return isAbsent(value) || (typeof value === 'string' && !(value in Object.prototype));
}

function misfitOfCluster(fields: Fields): string | undefined {
  const { act } = fields;
  if (!isName(act)) return 'sent a word that node:cluster does not have';
  if (act === LISTEN)
    return isListenQuery(fields) ? undefined : 'asked for a socket that no server of Node wants';
  return act === 'queryServer' ? misfitOfQuery(fields) : undefined;
}

/** As `listenInCluster` of net and `bind` of dgram ask. */
function misfitOfQuery(query: Fields): string | undefined {
  const checks = checksOf(query);
  const field = Object.keys(checks).find((name) => !checks[name]?.(query[name]));
  return field && `asked for a socket whose ${field} is ${show(query[field])}`;
}

/** What Node makes a text or a number of, without asking what it is: of an object that may fail. */
const coerced: Readonly<Record<string, Check>> = {
  index: isPrimitive,
  addressType: isPrimitive,
  flags: isPrimitive,
  backlog: isPrimitive,
};

/** What dgram is asked to bind is what the script has given it: no port, '5353', -1, 70000. Node makes a number of it. */
const ofDatagrams: Readonly<Record<string, Check>> = {
  ...coerced,
  address: isTextOrAbsent,
  port: isPrimitive,
  fd: isPrimitive,
};

const ofDescriptor: Readonly<Record<string, Check>> = {
  ...coerced,
  address: isAbsent,
  port: isAbsent,
  fd: (value) => typeof value === 'number' && value <= MAX_INT32,
};

/** Neither Node's null, which it takes for a descriptor, nor anything else that it compares with 0. */
const noDescriptor: Check = (value) => value === undefined || (typeof value === 'number' && value < 0);

const ofPort: Readonly<Record<string, Check>> = {
  ...coerced,
  fd: noDescriptor,
  port: (value) => isWithin(value, 0, 65_535),
  address: (value) => isAbsent(value) || (typeof value === 'string' && isIP(value) !== 0), // resolved in the worker
};

const ofPath: Readonly<Record<string, Check>> = {
  ...coerced,
  fd: noDescriptor,
  port: (value) => value === -1,
  address: (value) => typeof value === 'string' && path.relative(process.cwd(), value) !== '',
};

/** An abstract socket has no mode. */
const ofAbstractPath: Readonly<Record<string, Check>> = {
  ...ofPath,
  readableAll: (value) => !value,
  writableAll: (value) => !value,
};

function checksOf({ addressType, fd, port, address }: Fields): Readonly<Record<string, Check>> {
  if (DATAGRAMS.has(addressType)) return ofDatagrams;
  if (isDescriptor(fd)) return ofDescriptor;
  if (port !== -1) return ofPort;
  return typeof address === 'string' && address.includes('\0') ? ofAbstractPath : ofPath;
}

/** Short, and never the text of an object. */
function show(value: unknown): string {
  const text =
    typeof value === 'string' ? JSON.stringify(value) : isPrimitive(value) ? `${value}` : typeof value;
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

function isTextOrAbsent(value: unknown): boolean {
  return isAbsent(value) || typeof value === 'string';
}

/** But for bigint, of which Node can make no number. */
function isPrimitive(value: unknown): value is string | number | boolean | null | undefined {
  return isAbsent(value) || ['string', 'number', 'boolean'].includes(typeof value);
}

function isWithin(value: unknown, min: number, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}
