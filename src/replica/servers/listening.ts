/**
 * Gives a replica's servers sockets that it accepts from itself, in turn with the other replicas. The one seam is
 * `cluster._getServer`, which net.Server asks for its handle in a worker: Node's own code goes on doing all else that
 * concerns a shared server, and net.Server all that concerns a connection.
 */

import cluster from 'node:cluster';
import { Server } from 'node:net';
import { LISTEN, listenerOf } from '../../channel/listening.js';
import type { Segment } from '../../memory/segment.js';

/** What net.Server has of a listening socket: Node's internal TCP or Pipe. */
interface ServerHandle {
  readonly constructor: new (type: number) => Connection;
  readonly fd: number;
  onconnection(error: number, connection: Connection): void;
  listen(backlog: number): number;
  close(callback?: () => void): void;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
}

interface Connection {
  /** -1 once it is closed. */
  readonly fd: number;
  readonly bytesRead: number;
  open(fd: number): number;
}

/** What a net.Server says of its connections. */
interface Limited {
  readonly maxConnections?: number;
  readonly _connections: number;
  /** From Node 22.12 on: drop what is too much, even though another worker could take it. */
  readonly dropMaxConnection?: boolean;
}

/** `type` of a connection's handle, of TCP and Pipe alike. */
const SOCKET = 0;

interface Options {
  readonly fd?: number | null;
  readonly addressType: unknown;
}

type Callback = (errno: number, handle: ServerHandle | null) => void;

type GetServer = (this: unknown, server: unknown, options: Options, callback: Callback) => void;

/** From now on. With `sticky` the primary sends each connection, as Node's would. Where Node has no such seam it schedules itself, and a warning says so. */
export function balanceListening(segment: Segment, sticky: boolean): void {
  const seam = cluster as unknown as { _getServer?: GetServer };
  const getServer = seam._getServer;
  if (typeof getServer !== 'function') return warn('this Node has no cluster._getServer');
  const listeners = new WeakMap<object, number>();
  // Before Node's own listener, which calls back with the handle alone.
  process.prependListener('internalMessage' as 'message', (message: unknown, handle: unknown) => {
    const listener = listenerOf(message);
    if (listener !== undefined && typeof handle === 'object' && handle !== null)
      listeners.set(handle, listener);
  });
  seam._getServer = function (server, options, callback) {
    if (!isOurs(server, options)) return getServer.call(this, server, options, callback);
    return getServer.call(this, server, { ...options, act: LISTEN } as Options, (errno, handle) => {
      const listener = handle === null ? undefined : listeners.get(handle);
      if (handle !== null && listener !== undefined) balance(handle, listener, segment, server);
      else if (!errno && !sticky) warn('the primary has no room for one more');
      callback(errno, handle);
    });
  };
}

/** A descriptor that the application has is its own matter, and datagrams have no connections. */
function isOurs(server: unknown, { fd, addressType }: Options): server is Limited {
  return server instanceof Server && (fd === undefined || fd === null) && typeof addressType === 'number';
}

/** The handle itself never listens: its connections come from the acceptor. */
function balance(handle: ServerHandle, listener: number, { addon }: Segment, server: Limited): void {
  const { constructor: Handle, close } = handle;
  let last: Connection | undefined;
  const take = (fd: number): boolean => {
    const connection = new Handle(SOCKET);
    if (connection.open(fd) !== 0) return false;
    last = connection;
    handle.onconnection(0, connection);
    return true;
  };
  // Node's cluster, too, offers a connection to another worker then, until one takes it.
  const hasRoom = (): boolean =>
    !(server.maxConnections && server._connections >= server.maxConnections) ||
    server.dropMaxConnection === true;
  const hasUnread = (): boolean => last !== undefined && last.fd >= 0 && last.bytesRead === 0;
  const acceptor = new addon.Acceptor(handle.fd, listener, take, hasRoom, hasUnread);
  Object.assign(handle, {
    listen() {
      acceptor.start(); // the primary has called listen(2)
      return 0;
    },
    close(callback?: () => void) {
      acceptor.close();
      close.call(handle, callback);
    },
    ref: () => acceptor.ref(),
    unref: () => acceptor.unref(),
    hasRef: () => acceptor.hasRef(),
  });
}

let warned = false;

function warn(why: string): void {
  if (warned) return;
  warned = true;
  process.emitWarning(`${why}: node:cluster itself distributes the connections of a server`, {
    type: 'BallermannWarning',
    code: 'BALLERMANN_NODE_SCHEDULING',
  });
}
