/**
 * Gives a replica's servers sockets that it accepts from itself, in turn with the other replicas. The one seam is
 * `cluster._getServer`, which net.Server and dgram.Socket ask for their handle in a worker: Node's own code goes on doing
 * all else that concerns a shared server, and net.Server all that concerns a connection.
 */

import cluster from 'node:cluster';
import { Server } from 'node:net';
import { constants } from 'node:os';
import {
  type CloseNotice,
  type HandoverAnswer,
  isAnswer,
  LISTEN,
  type Listen,
  type ListenAnswer,
  lostBy,
} from '../../channel/listening.js';
import type { Acceptor } from '../../memory/addon.js';
import type { Segment } from '../../memory/segment.js';
import { listenError } from './listen-error.js';
import { type Place, places } from './places.js';

/** What net.Server has of a listening socket: Node's internal TCP or Pipe. */
interface ServerHandle {
  readonly constructor: (new (
    type: number,
  ) => ConnectionHandle) & { readonly prototype: Pick<ServerHandle, 'close'> };
  readonly fd: number;
  onconnection(error: number, connection: ConnectionHandle): void;
  listen(backlog: number): number;
  close(callback?: () => void): void;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
}

/** Its connections have the same kind of handle. */
interface ConnectionHandle {
  open(fd: number): number;
}

/** What a net.Server says of its connections. */
interface ConnectionLimit {
  readonly maxConnections?: number | null;
  readonly _connections: number;
  /** From Node 22.12 on: drop what is too much, even though another worker could take it. */
  readonly dropMaxConnection?: boolean;
}

/** `type` of a connection's handle, of TCP and Pipe alike. */
const SOCKET = 0;

type Callback = (errno: number, handle: ServerHandle | null) => void;

type GetServer = (this: unknown, server: unknown, options: Place, callback: Callback) => void;

const acceptors = new WeakMap<object, Acceptor>();

/**
 * Takes the connections that wait for this server now: its client has one already, and it would be reset with the last
 * listener. To be called before the server is closed.
 */
export function acceptWaiting(server: Server): void {
  acceptors.get(server)?.takeWaiting();
}

/** How the servers of this process listen. */
export interface ListenSettings {
  readonly listen: Listen;
  /** The primary sends each connection, as Node's would. */
  readonly sticky: boolean;
}

/** From now on. Where Node has no such seam it schedules itself, and a warning says so. */
export function shareListening(segment: Segment, { listen, sticky }: ListenSettings): void {
  const seam = cluster as unknown as { _getServer?: GetServer };
  const getServer = seam._getServer;
  if (typeof getServer !== 'function') {
    if (listen === 'balanced') warn('this Node has no cluster._getServer');
    return;
  }
  // Before Node's own listener, which calls back with the handle alone.
  let answer: Partial<ListenAnswer> = {};
  process.prependListener('internalMessage' as 'message', (message: unknown, handle: unknown) => {
    if (isAnswer(message)) answer = message;
    else if (handle === undefined || handle === null) answerForLost(message);
  });
  seam._getServer = function (server, options, callback) {
    const isShared = listen === 'balanced' && hasConnections(server, options);
    const { index, free } = places.take(options);
    const query = { ...options, index, ...(isShared && { act: LISTEN }) };
    const listeningId = listeningIdOf(server);
    getServer.call(this, server, query, (failure, handle) => {
      const { listener, address } = answer;
      let errno = failure;
      if (handle === null) free();
      else afterClose(handle, free);
      if (handle !== null && listener !== undefined) {
        errno = acceptInTurn(handle, listener, segment, server as ConnectionLimit);
        if (errno) handle.close();
      } else if (isShared && !errno && !sticky) warn('the primary has no room for another listening socket');
      if (!errno || !(server instanceof Server)) callback(errno, handle);
      // Else Node would say where it wanted to listen as the script has put it: "bind EADDRINUSE null:8080".
      else if (listeningIdOf(server) === listeningId)
        server.emit('error', listenError(errno, { ...options, tried: address }));
    });
  };
}

/** A socket for datagrams has none. */
function hasConnections(server: unknown, { fd, addressType }: Place): server is Server & ConnectionLimit {
  return server instanceof Server && (typeof fd === 'number' || typeof addressType === 'number');
}

/** Changes when a server listens anew, or is closed: what it has asked for before does not concern it any more. */
function listeningIdOf(server: unknown): unknown {
  return (server as { _listeningId?: unknown })._listeningId;
}

function afterClose(handle: ServerHandle, closed: () => void): void {
  const { close } = handle;
  handle.close = function (...args) {
    closed();
    return close.apply(this, args);
  };
}

/**
 * The handle itself never listens: its connections come from the acceptor.
 * @returns 0, or the negative errno: it is the caller's to close the handle then.
 */
function acceptInTurn(
  handle: ServerHandle,
  listener: number,
  { addon }: Segment,
  server: ConnectionLimit,
): number {
  const { constructor: Handle, close: closeAndTell } = handle;
  const take = (fd: number): boolean => {
    const connection = new Handle(SOCKET);
    if (connection.open(fd) !== 0) return false;
    handle.onconnection(0, connection);
    return true;
  };
  // Node's cluster, too, offers a connection to another worker then, until one takes it.
  const hasRoom = (): boolean =>
    !(server._connections >= maxConnectionsOf(server)) || server.dropMaxConnection === true;
  const acceptor = new addon.Acceptor(handle.fd, listener, take, hasRoom);
  acceptors.set(server, acceptor);
  Object.assign(handle, {
    listen: () => 0, // the primary has called listen(2)
    close(callback?: () => void) {
      acceptor.close();
      Handle.prototype.close.call(handle, callback); // before the primary knows, who may then bind the port anew
      closeAndTell.call(handle);
    },
    ref: () => acceptor.ref(),
    unref: () => acceptor.unref(),
    hasRef: () => acceptor.hasRef(),
  });
  return acceptor.start();
}

/**
 * The system gives a process that has no free descriptor (EMFILE) a message without the socket that was sent with it. Node
 * drops such a message, so that the server would wait for ever, and so would the client of a connection.
 */
function answerForLost(message: unknown): void {
  const lost = lostBy(message);
  if (lost === undefined) return;
  if ('ack' in lost) {
    const answer: ListenAnswer = { ...lost, errno: -constants.errno.EMFILE, data: null };
    const notice: CloseNotice = { cmd: 'NODE_CLUSTER', act: 'close', key: lost.key };
    process.send?.(notice, undefined, undefined, () => {}); // it counts us among those that listen
    process.emit('internalMessage' as 'message', answer, undefined);
  } else {
    const answer: HandoverAnswer = { cmd: 'NODE_CLUSTER', ack: lost.seq, accepted: false };
    process.send?.(answer, undefined, undefined, () => {});
  }
}

/** Node takes 0 for no limit up to 20, and for no connection since then. */
const ZERO_IS_NONE = Number.parseInt(process.versions.node, 10) > 20;

function maxConnectionsOf({ maxConnections }: ConnectionLimit): number {
  const isLimit = ZERO_IS_NONE
    ? maxConnections !== undefined && maxConnections !== null
    : Boolean(maxConnections);
  return isLimit ? Number(maxConnections) : Number.POSITIVE_INFINITY;
}

let warned = false;

function warn(why: string): void {
  if (warned) return;
  warned = true;
  process.emitWarning(`node:cluster distributes the connections of a server, because ${why}`, {
    type: 'BallermannWarning',
    code: 'BALLERMANN_NODE_SCHEDULING',
  });
}
