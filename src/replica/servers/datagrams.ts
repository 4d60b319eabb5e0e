/**
 * Sees that a datagram socket of the script listens, by whichever way it was bound: through the primary, exclusive, from
 * a descriptor. A socket that only sends is bound as well, by Node itself; that is no listening.
 */

import { Socket } from 'node:dgram';

type Method = (this: Socket, ...args: unknown[]) => unknown;

/** Calls `listened` for each datagram socket, after its own 'listening' listeners. */
export function watchDatagrams(listened: () => void): void {
  /** Bound by Node, to send or to connect. */
  const senders = new WeakSet<Socket>();
  const prototype = Socket.prototype as unknown as Record<'bind' | 'emit', Method>;
  const { bind, emit } = prototype;
  prototype.bind = function (...args) {
    if (isToSend(args)) senders.add(this);
    return bind.apply(this, args);
  };
  prototype.emit = function (...args) {
    try {
      return emit.apply(this, args);
    } finally {
      if (args[0] === 'listening' && !senders.has(this) && !isConnected(this)) listened();
    }
  };
}

/** As `send` and `connect` of Node bind a socket that is not bound. No script writes that null. */
function isToSend([options, callback]: unknown[]): boolean {
  if (callback !== null || typeof options !== 'object' || options === null) return false;
  const { port, exclusive } = options as { port?: unknown; exclusive?: unknown };
  return port === 0 && exclusive === true;
}

/** By connectSync, which binds without any such word. */
function isConnected(socket: Socket): boolean {
  try {
    socket.remoteAddress();
    return true;
  } catch {
    return false;
  }
}
