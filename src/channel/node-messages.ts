/**
 * Which of Node's own internal messages may come from a worker: those that node:cluster and node:child_process of the
 * primary take without an exception. They check none of it themselves.
 */

/** What a primary's end of a channel says of the handles that it has sent. */
export interface HandleSender {
  /** An array while a handle is under way. */
  readonly _handleQueue?: unknown;
}

/** The kinds of handles that Node sends, other than datagram sockets. */
const STREAMS: ReadonlySet<unknown> = new Set(['net.Native', 'net.Server', 'net.Socket', 'dgram.Native']);

const DATAGRAMS: ReadonlySet<unknown> = new Set(['udp4', 'udp6']);

const MAX_INT32 = 2 ** 31 - 1;

/** @param handle that came with it. Anything but Node's own words is harmless to Node. */
export function isHarmless(message: unknown, handle: unknown, sender: HandleSender): boolean {
  if (typeof message !== 'object' || message === null) return false;
  const fields = message as Readonly<Record<string, unknown>>;
  switch (fields['cmd']) {
    case 'NODE_HANDLE_ACK':
    case 'NODE_HANDLE_NACK':
      return Array.isArray(sender._handleQueue); // else it answers nothing
    case 'NODE_HANDLE':
      return handle === undefined || handle === null || isKnownHandle(fields);
    case 'NODE_CLUSTER':
      return isName(fields['act']) && (fields['act'] !== 'queryServer' || isQuery(fields));
    default:
      return true;
  }
}

function isKnownHandle({ type, dgramType, key }: Readonly<Record<string, unknown>>): boolean {
  if (type === 'dgram.Socket') return DATAGRAMS.has(dgramType);
  return STREAMS.has(type) && isName(key);
}

/** Node looks it up in a plain object, and takes what every object inherits for its own. */
function isName(value: unknown): boolean {
  return isAbsent(value) || (typeof value === 'string' && !(value in Object.prototype));
}

/** As `listenInCluster` of net and `bind` of dgram ask. */
function isQuery({ address, port, addressType, fd, backlog }: Readonly<Record<string, unknown>>): boolean {
  if (!isAbsent(backlog) && backlog !== false && !isWithin(backlog, -MAX_INT32, MAX_INT32)) return false;
  if (!isAbsent(address) && typeof address !== 'string') return false;
  if (!isAbsent(fd) && !isWithin(fd, -1, MAX_INT32)) return false;
  if (isWithin(fd, 0, MAX_INT32)) return true;
  if (isWithin(port, 0, 65_535)) return true;
  return port === -1 && typeof address === 'string' && !DATAGRAMS.has(addressType);
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null;
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}
