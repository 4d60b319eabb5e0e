/**
 * The open connections of a replica's servers, and how each kind is brought to its end when the replica stops: without
 * cutting off a request that has been sent already, as far as that can be known from this side.
 */

import type { ServerResponse } from 'node:http';
import type { ServerHttp2Session } from 'node:http2';
import type { Server, Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Writable } from 'node:stream';
import type { Answer } from './arrivals.js';
import { restartWebSocket } from './websocket.js';

/**
 * ms without a request and without a byte after which a connection is taken for idle, so that what a client sent
 * before it could know is still answered. A client on a busy machine may have its last answer unread for so long, and
 * then ask again before it reads that this is the end.
 */
const QUIET = 250;

/** ms that a TLS handshake may still take when the replica stops. */
const HANDSHAKE = 1_000;

/**
 * A GOAWAY that refuses no stream yet: its last stream is the highest there can be (RFC 9113, 6.8). Node's session.goaway()
 * with that number says the same, but ignores every stream that comes after it.
 */
const SHUTDOWN_NOTICE = Buffer.from('000008' + '07' + '00' + '00000000' + '7fffffff' + '00000000', 'hex');

/** NGHTTP2_CANCEL: nobody needs the answer any more (RFC 9113, 7). node:http2 is not loaded for it. */
const CANCEL = 8;

const OWN = Symbol('ballermann.connection');

interface Owned {
  [OWN]?: Connection;
}

/** Node's own socket below a net.Socket. */
interface Handle {
  /** Bytes that the kernel has not taken. */
  readonly writeQueueSize?: number;
}

type Kind =
  /** HTTP/1.1 without a request as yet, or between two, or with some. */
  | 'http'
  | 'http2'
  /** Bytes of a protocol that is not ours to know: an upgraded connection, or one of a plain TCP server. */
  | 'other';

export class Connection {
  readonly socket: Socket;
  kind: Kind;
  /** Requests that are running or held. */
  requests = 0;
  session: ServerHttp2Session | undefined;
  /** Whether the client is told that what comes from now on has not run, so that it must not. HTTP/2 over TLS. */
  refusesStreams = false;
  /** Responses that wait behind another one (pipelining): Node does not tell them when the connection closes. */
  queued: Set<ServerResponse> | undefined;
  /** The last one that has come and is not over. */
  #response: ServerResponse | undefined;
  #isAnnounced = false;
  #isEnding = false;
  /** Apart from the above: a server may hand the connection on to one of HTTP still. */
  #isRestartAnnounced = false;
  /** Read by the end of the last request: what has come since is the beginning of the next. */
  #bytes: number;
  #quietSince = 0;
  /** Bytes that have come, and that the kernel has taken from us; and since when there were no more of them. */
  #moved = 0;
  #movedAt = 0;

  constructor(socket: Socket, kind: Kind) {
    this.socket = socket;
    this.kind = kind;
    this.#bytes = socket.bytesRead;
  }

  /** Of a socket, or of an HTTP/2 session; undefined where it came to no server of ours. */
  static of(carrier: object | null | undefined): Connection | undefined {
    return (carrier as Owned | null | undefined)?.[OWN];
  }

  owns(carrier: object): void {
    (carrier as Owned)[OWN] = this;
  }

  /** A request has come. @param response none where there is another end to it than that of an HTTP/1.1 response. */
  begins(response: ServerResponse | undefined): void {
    this.requests++;
    if (response === undefined) return;
    if (response.socket === null) {
      this.queued ??= new Set();
      this.queued.add(response);
    }
    if (this.#isAnnounced) {
      // The last one says so: Node drops what waits behind an answer that does.
      if (this.#response?.headersSent === false) this.#response.shouldKeepAlive = true;
      response.shouldKeepAlive = false;
    }
    this.#response = response;
  }

  /** A request is over. @param carrier what it came with. */
  ends(carrier: object): void {
    this.requests--;
    this.#bytes = this.socket.bytesRead;
    this.queued?.delete(carrier as ServerResponse);
    if (this.#response === carrier) this.#response = undefined;
  }

  /** The handler of an upgrade gets the socket, and what follows on it is not HTTP. */
  upgrades(): void {
    this.kind = 'other';
  }

  /** Says to the client that it should send no more requests here. */
  announceEnd(): void {
    this.#isAnnounced = true;
    if (this.#response?.headersSent === false) this.#response.shouldKeepAlive = false;
    if (this.session?.closed === false) this.#announceGoaway(this.session);
    this.#quietSince = performance.now();
    this.#movedAt = this.#quietSince;
  }

  /**
   * Looks whether it can end now. To be called after the turn's reading.
   * @param anyway where no request runs, though bytes of one may have come.
   * @param stalledAfter ms for which the beginning of a request, or the end of the connection, waits for the client.
   */
  endIfIdle(anyway: boolean, stalledAfter: number): void {
    const isStalled = this.#isStalled(stalledAfter);
    if (this.#isEnding) {
      if (isStalled) this.#cut(); // it does not read our last words
      return;
    }
    if (this.requests > 0) this.#quietSince = performance.now();
    else if (anyway || isStalled || this.#isQuiet()) this.end();
  }

  /** Ends it when what has been written is sent. */
  end(): void {
    this.#isEnding = true;
    // A session that is over leaves its socket to the client, which may never close it.
    if (this.session === undefined || this.session.destroyed) endSoon(this.socket);
    else if (!this.session.closed) this.session.close();
  }

  /** Gives up a request that waits for its client, where that has done nothing for so long (ms). */
  giveUp(answer: Answer, stalledAfter: number): void {
    if (!this.#isStalled(stalledAfter)) return;
    if ('sentHeaders' in answer) answer.close(CANCEL);
    else this.#cut();
  }

  /** The same for a protocol that is not HTTP. */
  announceRestart(): void {
    if (this.#isRestartAnnounced) return;
    this.#isRestartAnnounced = true;
    restartWebSocket(this.socket);
  }

  /**
   * Node writes whole frames, and the socket keeps the order, so one of ours fits between two of its own. A TLS socket takes no
   * write during another one. So there the client is told what has been begun, and sends the rest elsewhere. That GOAWAY
   * names its last stream now and leaves later, after writes that are under way: what is read in between is not to run.
   */
  #announceGoaway(session: ServerHttp2Session): void {
    if ('encrypted' in this.socket) {
      this.refusesStreams = true;
      session.goaway();
    } else if (session.pendingSettingsAck) {
      // SETTINGS must be the first frame, and Node may not have written it as yet (RFC 9113, 3.4).
      session.once('localSettings', () => this.#notifyOfShutdown(session));
    } else {
      this.#notifyOfShutdown(session);
    }
  }

  #notifyOfShutdown(session: ServerHttp2Session): void {
    if (!session.closed) this.socket.write(SHUTDOWN_NOTICE);
  }

  #isQuiet(): boolean {
    const now = performance.now();
    // A head that has come in part is a request under way. HTTP/2 has frames of its own for when nothing runs.
    if (this.kind === 'http' && this.socket.bytesRead !== this.#bytes) this.#quietSince = now;
    return now - this.#quietSince >= QUIET;
  }

  #isStalled(stalledAfter: number): boolean {
    const { bytesRead = 0, bytesWritten = 0, writableLength } = this.socket as Partial<Socket> & Writable;
    const { _handle: handle } = this.socket as { _handle?: Handle | null };
    const moved = bytesRead + bytesWritten - writableLength - (handle?.writeQueueSize ?? 0);
    const now = performance.now();
    if (moved !== this.#moved) this.#movedAt = now;
    this.#moved = moved;
    return now - this.#movedAt >= stalledAfter;
  }

  #cut(): void {
    this.session?.destroy();
    this.socket.destroy();
  }
}

/** A stream that a script has handed to its server as a connection need not be a socket (Node allows any Duplex). */
function endSoon(socket: Writable & { destroySoon?: () => void }): void {
  if (socket.destroySoon !== undefined) socket.destroySoon();
  else socket.end(() => socket.destroy());
}

export class Connections {
  readonly #open = new Set<Connection>();
  readonly #onClose: (connection: Connection) => void;
  /** Connections of TLS servers below TLS, and those of them above it. */
  #encrypted = 0;
  #secured = 0;
  /** When the end was announced (ms); undefined before. */
  #endingSince: number | undefined;

  constructor(onClose: (connection: Connection) => void) {
    this.#onClose = onClose;
  }

  /** A connection to a TLS server: what `add` is given when its handshake is over is another socket. */
  addEncrypted(socket: Socket): void {
    this.#encrypted++;
    socket.once('close', () => this.#encrypted--);
  }

  addSecured(server: Server, socket: Socket): void {
    this.#secured++;
    socket.once('close', () => this.#secured--);
    this.add(server, socket);
  }

  /** A connection has come to `server`, and may have come to another one before. */
  add(server: Server, socket: Socket): void {
    const kind = 'closeIdleConnections' in server ? 'http' : 'other';
    const known = Connection.of(socket);
    if (known !== undefined) {
      known.kind = kind;
      return;
    }
    const connection = new Connection(socket, kind);
    connection.owns(socket);
    this.#open.add(connection);
    socket.once('close', () => this.#forget(connection));
    if (this.#endingSince !== undefined) connection.announceEnd();
  }

  addSession(session: ServerHttp2Session): void {
    const connection = Connection.of(session.socket);
    if (connection === undefined) return;
    connection.kind = 'http2';
    connection.session = session;
    connection.owns(session);
    if (this.#endingSince !== undefined) connection.announceEnd();
  }

  /** From now on connections end when they are idle, as `end` finds them. */
  announceEnd(): void {
    this.#endingSince = performance.now();
    for (const connection of this.#open) connection.announceEnd();
  }

  /** Ends those that are idle. @param others whether to end all others as well on which no request runs. */
  end(others: boolean, stalledAfter: number): void {
    for (const connection of this.#open) {
      if (isGivenAway(connection.socket)) this.#forget(connection);
      else if (connection.kind === 'other' && !others) connection.announceRestart();
      else connection.endIfIdle(others, stalledAfter);
    }
  }

  /** Whether one is left that may bring another request. */
  get isServing(): boolean {
    for (const { kind } of this.#open) if (kind !== 'other') return true;
    const areHandshakesLate = performance.now() - (this.#endingSince ?? Infinity) > HANDSHAKE;
    return this.#encrypted > this.#secured && !areHandshakesLate;
  }

  get size(): number {
    return this.#open.size;
  }

  #forget(connection: Connection): void {
    this.#open.delete(connection);
    this.#onClose(connection);
  }
}

/** Sent to another process: Node takes its handle then, and it never closes. */
function isGivenAway(socket: Socket): boolean {
  return !socket.destroyed && (socket as { _handle?: unknown })._handle === null;
}
