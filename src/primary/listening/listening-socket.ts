/** Binds the primary's listening sockets, with Node's internal handles. */

import type { SendHandle } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';
import type { ListenQuery } from '../../channel/listening.js';
import type { Addon } from '../../memory/addon.js';

/** Node's internal handle of a TCP or Unix socket. */
export interface ListeningSocket {
  readonly fd: number;
  /** Only of TCP. Tells as well what kept the socket from being bound. */
  getsockname?(out: object): number;
  /** Only of Unix sockets. */
  fchmod?(mode: number): number;
  /** libuv's listen: the primary accepts. @returns 0 or the negative errno. */
  listen(backlog: number): number;
  onconnection?: (error: number, connection: Connection) => void;
  /** Removes the path of a Unix socket. */
  close(): void;
}

/** Node's internal handle of an accepted connection. */
export interface Connection {
  /** Only of TCP. */
  getpeername?(out: object): number;
  close(): void;
}

type Create = (
  address: string | null,
  port: number,
  addressType: number,
  fd: undefined,
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

/** @returns the socket, bound and listening by `listen`, or the negative errno. */
export function bind(
  query: ListenQuery,
  listen: (socket: ListeningSocket) => number,
): ListeningSocket | number {
  const { address = null, port, addressType, flags } = query;
  const isPath = port === -1;
  const socket = create?.(
    isPath ? shortest(address as string) : address,
    port,
    addressType,
    undefined,
    flags,
  );
  if (socket === undefined) return EINVAL;
  if (typeof socket === 'number') return socket;
  // libuv keeps an EADDRINUSE of bind until it is asked for more. listen(2) would take any free port then.
  const failure = (isPath ? setMode(socket, query) : socket.getsockname?.({})) || listen(socket);
  if (failure === 0) return socket;
  socket.close();
  return failure;
}

/** listen(2), and nobody accepts from the socket here. @returns 0 or the negative errno. */
export function listenWithoutAccepting(
  { fd }: ListeningSocket,
  { backlog }: ListenQuery,
  addon: Addon,
): number {
  return addon.listen(fd, backlog || BACKLOG);
}

/** The primary itself accepts, in `onconnection`. @returns 0 or the negative errno. */
export function listenAndAccept(socket: ListeningSocket, { backlog }: ListenQuery): number {
  return socket.listen(backlog || BACKLOG);
}

/** For `send`, whose types do not know that Node's internal handles can be sent. */
export function sendable(handle: ListeningSocket | Connection): SendHandle {
  return handle as unknown as SendHandle;
}

/** A Unix socket's path has only about a hundred bytes. */
function shortest(address: string): string {
  const relative = path.relative(process.cwd(), address);
  return relative.length < address.length ? relative : address;
}

function setMode(socket: ListeningSocket, { readableAll, writableAll }: ListenQuery): number | undefined {
  const mode = (readableAll === true ? READABLE : 0) | (writableAll === true ? WRITABLE : 0);
  return mode === 0 ? 0 : socket.fchmod?.(mode);
}
