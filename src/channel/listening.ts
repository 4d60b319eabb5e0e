/**
 * What a replica's `node:cluster` and the primary say about a server that is to listen. These are Node's own messages
 * but for two things: the question has an `act` that Node's primary does not know, so that only ours answers it, and the
 * answer names a listener of the segment.
 */

/** Who distributes connections. 'balanced': the replicas accept in turn. 'node': node:cluster does it. */
export type Listen = 'balanced' | 'node';

/** The `act` of the question. */
export const LISTEN = 'ballermannListen';

/** A server of a replica wants to listen: `queryServer`, as Node's own child asks it. */
export interface ListenQuery {
  readonly cmd: 'NODE_CLUSTER';
  readonly act: typeof LISTEN;
  readonly seq: number;
  /** The first that is free of those servers of a replica that listen on the same address. */
  readonly index: number;
  /** Of the server, for those of the other replicas: the keys of TLS tickets. */
  readonly data: unknown;
  /** An IP address, an absolute path, or null for any and for a descriptor. */
  readonly address?: string | null;
  /** -1: a path. null: a descriptor. */
  readonly port: number | null;
  /** 4, 6, -1 for a path, null for a descriptor. */
  readonly addressType: number | null;
  /** One of the primary's, for a socket that is bound already. */
  readonly fd?: number | null;
  /** Of uv_tcp_bind6. */
  readonly flags?: number;
  /** What the script has given it: Node makes a number of it. Nothing: as many as Node takes. */
  readonly backlog?: string | number | boolean | null;
  readonly readableAll?: unknown;
  readonly writableAll?: unknown;
}

export interface ListenAnswer {
  readonly cmd: 'NODE_CLUSTER';
  readonly ack: number;
  readonly key: string;
  /** 0, or the negative errno of bind or listen. */
  readonly errno: number;
  /** What could not be bound: which any address it was. */
  readonly address?: string | null | undefined;
  readonly data: unknown;
  /** The listener of the segment; the socket comes with the message. Undefined where there is an error. */
  readonly listener?: number | undefined;
}

/** The last server of a replica with that key is closed. */
export interface CloseNotice {
  readonly cmd: 'NODE_CLUSTER';
  readonly act: 'close';
  readonly key: string;
}

export function isListenQuery(message: unknown): message is ListenQuery {
  if (!hasAct(message, LISTEN)) return false;
  const { seq, index, address, port, addressType, fd, flags, backlog } = message;
  return (
    isWithin(seq, 0, Number.MAX_SAFE_INTEGER) &&
    isWithin(index, 0, Number.MAX_SAFE_INTEGER) &&
    isPlace(address, port, addressType, fd) &&
    (isAbsent(flags) || isWithin(flags, 0, 2 ** 31 - 1)) &&
    (isAbsent(backlog) || ['string', 'number', 'boolean'].includes(typeof backlog))
  );
}

function isPlace(address: unknown, port: unknown, addressType: unknown, fd: unknown): boolean {
  if (!isAbsent(fd))
    return isWithin(fd, 0, 2 ** 31 - 1) && [address, port, addressType].every((field) => isAbsent(field));
  if (port === -1) return addressType === -1 && typeof address === 'string' && address !== '';
  const isAddress = isAbsent(address) || typeof address === 'string';
  return isAddress && isWithin(port, 0, 65_535) && (addressType === 4 || addressType === 6);
}

export function isCloseNotice(message: unknown): message is CloseNotice {
  return hasAct(message, 'close') && typeof message['key'] === 'string';
}

/** A replica's answer to a connection that the primary has sent it, by the primary's negative number. */
export interface HandoverAnswer {
  readonly cmd: 'NODE_CLUSTER';
  readonly ack: number;
  readonly accepted: boolean;
}

export function isHandoverAnswer(message: unknown): message is HandoverAnswer {
  const { cmd, ack, accepted } = (message ?? {}) as Partial<HandoverAnswer>;
  return (
    cmd === 'NODE_CLUSTER' && isWithin(ack, Number.MIN_SAFE_INTEGER, -1) && typeof accepted === 'boolean'
  );
}

/** Whether it is an answer of the primary, ours or one of Node's own. */
export function isAnswer(message: unknown): message is Partial<ListenAnswer> {
  const { cmd, ack } = (message ?? {}) as Partial<ListenAnswer>;
  return cmd === 'NODE_CLUSTER' && ack !== undefined;
}

/** A message whose socket did not arrive: the answer to a server that is to listen, or a connection for it. */
type Lost =
  | Pick<ListenAnswer, 'cmd' | 'ack' | 'key'>
  | { readonly cmd: 'NODE_CLUSTER'; readonly act: 'newconn'; readonly seq: number };

/** What Node's own envelope of a socket has in it; undefined where it is another message. */
export function lostBy(message: unknown): Lost | undefined {
  const { cmd, msg } = (message ?? {}) as { cmd?: unknown; msg?: Record<string, unknown> };
  if (cmd !== 'NODE_HANDLE' || msg?.['cmd'] !== 'NODE_CLUSTER') return undefined;
  const { ack, key, act, seq } = msg;
  if (Number.isInteger(ack) && typeof key === 'string')
    return { cmd: 'NODE_CLUSTER', ack: ack as number, key };
  if (act === 'newconn' && Number.isInteger(seq)) return { cmd: 'NODE_CLUSTER', act, seq: seq as number };
  return undefined;
}

function hasAct(message: unknown, act: string): message is Record<string, unknown> {
  if (typeof message !== 'object' || message === null) return false;
  const { cmd, act: found } = message as { cmd?: unknown; act?: unknown };
  return cmd === 'NODE_CLUSTER' && found === act;
}

function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}
