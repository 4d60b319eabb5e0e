/**
 * What a replica's `node:cluster` and the primary say about a server that is to listen. These are Node's own messages
 * but for two things: the question has an `act` that Node's primary does not know, so that only ours answers it, and the
 * answer names a listener of the segment.
 */

/** Who distributes connections: the replicas among themselves, or node:cluster. */
export type Listen = 'balanced' | 'node';

/** The `act` of the question. */
export const LISTEN = 'ballermannListen';

/** A server of a replica wants to listen: `queryServer`, as Node's own child asks it. */
export interface ListenQuery {
  readonly cmd: 'NODE_CLUSTER';
  readonly act: typeof LISTEN;
  readonly seq: number;
  /** Counts the servers of a replica that listen on the same address. */
  readonly index: number;
  /** Of the server, for those of the other replicas: the keys of TLS tickets. */
  readonly data: unknown;
  /** An IP address, an absolute path, or null for any. */
  readonly address?: string | null;
  /** -1: a path. */
  readonly port: number;
  /** 4, 6, or -1 for a path. */
  readonly addressType: number;
  /** Of uv_tcp_bind6. */
  readonly flags?: number;
  /** 0, false: as many as Node takes. */
  readonly backlog?: number | false;
  readonly readableAll?: boolean;
  readonly writableAll?: boolean;
}

export interface ListenAnswer {
  readonly cmd: 'NODE_CLUSTER';
  readonly ack: number;
  readonly key: string;
  /** 0, or the negative errno of bind or listen. */
  readonly errno: number;
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
  const { seq, index, address, port, addressType, flags, backlog } = message;
  return (
    isWithin(seq, 0, Number.MAX_SAFE_INTEGER) &&
    isWithin(index, 0, Number.MAX_SAFE_INTEGER) &&
    isWithin(port, -1, 65_535) &&
    [4, 6, -1].includes(addressType as number) &&
    (port === -1) === (addressType === -1) &&
    (typeof address === 'string' || (port !== -1 && (address === undefined || address === null))) &&
    (flags === undefined || isWithin(flags, 0, 2 ** 31 - 1)) &&
    (backlog === undefined || backlog === false || isWithin(backlog, 0, Number.MAX_SAFE_INTEGER))
  );
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

/** Answers the listener that a message gives; undefined where it is another message. */
export function listenerOf(message: unknown): number | undefined {
  const { cmd, ack, listener } = message as Partial<ListenAnswer>;
  return cmd === 'NODE_CLUSTER' && ack !== undefined ? listener : undefined;
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

function isWithin(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}
