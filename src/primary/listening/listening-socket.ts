/** Binds the primary's listening sockets, with Node's internal handles. */

import type { SendHandle } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';
import type { ListenQuery } from '../../channel/listening.js';
import type { Addon } from '../../memory/addon.js';
import * as descriptors from './descriptors.js';

/** Node's internal handle of a TCP or Unix socket. */
export interface ListeningSocket {
  readonly fd: number;
  /** Only of TCP. Tells as well what kept the socket from being bound. */
  getsockname?(out: object): number;
  /** Only of Unix sockets. */
  fchmod?(mode: number): number;
  /** libuv's listen: the primary accepts. @returns 0 or the negative errno. */
  listen(backlog: number): number;
  onconnection?: (error: number, connection: ConnectionHandle) => void;
  /** Removes the path of a Unix socket, where it was bound here. */
  close(): void;
}

/** Node's internal handle of an accepted connection. */
export interface ConnectionHandle {
  /** Only of TCP. */
  getpeername?(out: object): number;
  close(): void;
}

/** Why there is no socket. */
export interface BindFailure {
  /** Negative. */
  readonly errno: number;
  /** What could not be bound: which any address it was. */
  readonly address?: string | null;
}

type Create = (
  address: string | null,
  port: number | null,
  addressType: number | null,
  fd: number | undefined,
  flags: number | undefined,
) => ListeningSocket | number;

/** Undefined where Node has it no more. */
const create = (net as { _createServerHandle?: Create })._createServerHandle;

export const canBind = create !== undefined;

/** libuv's flags for fchmod. */
const READABLE = 1;
const WRITABLE = 2;

/** As many as Node asks for. */
const BACKLOG = 511;

const EINVAL = -22;

/** @returns the socket, bound and listening by `listen`. */
export function bind(
  query: ListenQuery,
  addon: Addon,
  listen: (socket: ListeningSocket) => number,
): ListeningSocket | BindFailure {
  const { address = null, port, addressType, fd } = query;
  if (typeof fd === 'number') return fromDescriptor(fd, addon, listen);
  if (port === -1) {
    const place = { address: shortest(address as string), port, addressType };
    return listening(place, query, (socket) => setMode(socket, query) || listen(socket));
  }
  if (address !== null) return listening({ address, port, addressType }, query, listen);
  // As a server without a host listens in Node.
  const any = listening({ address: '::', port, addressType: 6 }, query, listen);
  if (!('errno' in any) || any.isBusy) return any;
  return listening({ address: '0.0.0.0', port, addressType: 4 }, query, listen);
}

/** listen(2), and nobody accepts from the socket here. @returns 0 or the negative errno. */
export function listenWithoutAccepting(
  { fd }: ListeningSocket,
  { backlog }: ListenQuery,
  addon: Addon,
): number {
  return addon.listen(fd, lengthOf(backlog));
}

/** A handle of its own by which the primary accepts, in `onconnection`, until that is closed: the socket goes on listening. */
export function acceptFrom(
  { fd }: ListeningSocket,
  { backlog }: ListenQuery,
  addon: Addon,
): ListeningSocket | BindFailure {
  return fromDescriptor(fd, addon, (copy) => copy.listen(lengthOf(backlog)));
}

/** For `send`, whose types do not know that Node's internal handles can be sent. */
export function sendable(handle: ListeningSocket | ConnectionHandle): SendHandle {
  return handle as unknown as SendHandle;
}

interface Address {
  readonly address: string;
  readonly port: number | null;
  readonly addressType: number | null;
}

function listening(
  { address, port, addressType }: Address,
  { flags }: ListenQuery,
  listen: (socket: ListeningSocket) => number,
): ListeningSocket | (BindFailure & { readonly isBusy: boolean }) {
  const socket = create?.(address, port, addressType, undefined, flags) ?? EINVAL;
  if (typeof socket === 'number') return { errno: socket, address, isBusy: false };
  // libuv keeps an EADDRINUSE of bind until it is asked for more. listen(2) would take any free port then.
  const errno = socket.getsockname?.({}) || listen(socket);
  if (errno === 0) return socket;
  socket.close();
  return { errno, address, isBusy: true };
}

/** Of the primary, which keeps it: the handle has a duplicate. */
function fromDescriptor(
  fd: number,
  addon: Addon,
  listen: (socket: ListeningSocket) => number,
): ListeningSocket | BindFailure {
  const copy = descriptors.duplicate(fd, addon);
  if (copy < 0) return { errno: copy };
  const socket = create?.(null, null, null, copy, undefined) ?? EINVAL;
  if (typeof socket === 'number') {
    descriptors.giveBack(copy);
    return { errno: socket };
  }
  const { close } = socket;
  socket.close = () => {
    close.call(socket);
    descriptors.closed(copy);
  };
  const errno = listen(socket);
  if (errno === 0) return socket;
  socket.close();
  return { errno };
}

/** As listen of Node's handles makes a number of it. */
function lengthOf(backlog: ListenQuery['backlog']): number {
  return Number(backlog || BACKLOG) | 0;
}

/** A Unix socket's path has only about a hundred bytes. That of the folder in which we are has none, for Node no path. */
function shortest(address: string): string {
  const relative = path.relative(process.cwd(), address);
  return relative !== '' && relative.length < address.length ? relative : address;
}

function setMode(socket: ListeningSocket, { readableAll, writableAll }: ListenQuery): number | undefined {
  const mode = (readableAll === true ? READABLE : 0) | (writableAll === true ? WRITABLE : 0);
  return mode === 0 ? 0 : socket.fchmod?.(mode);
}
