/**
 * How a connection is brought to its end when the replica stops: without cutting off a request that has been sent
 * already, as far as that can be known from this side.
 */

import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Writable } from 'node:stream';
import type { Heads } from './heads.js';
import { restartWebSocket } from './websocket.js';

/**
 * ms without a request and without a byte after which a connection is taken for idle, so that what a client sent
 * before it could know is still answered. A client on a busy machine may have its last answer unread for so long, and
 * then ask again before it reads that this is the end.
 */
const QUIET = 250;

/**
 * A GOAWAY that refuses no stream yet: its last stream is the highest there can be (RFC 9113, 6.8). Node's session.goaway()
 * with that number says the same, but ignores every stream that comes after it.
 */
const SHUTDOWN_NOTICE = Buffer.from('000008' + '07' + '00' + '00000000' + '7fffffff' + '00000000', 'hex');

/** NGHTTP2_CANCEL (RFC 9113, 7). node:http2 is not loaded for it. */
const CANCEL = 8;

export type Protocol =
  /** HTTP/1.1 without a request as yet, or between two, or with some. */
  | 'http1'
  | 'http2'
  /** Not ours to know: an upgraded connection, or one of a plain TCP server, which may hand it on to one of HTTP still. */
  | 'other';

/** What has arrived on a connection. */
export interface Work {
  /** Whether Node says so, with or without an event. */
  readonly isOver: boolean;
  /** Whether it goes on only when its client sends more of the request, or reads more of the answer. */
  readonly waitsForClient: boolean;
  /** It is over, or its client has gone. Calling it again does nothing. */
  end(): void;
  /** Its client is not waited for any longer. */
  giveUp(): void;
  /** Where its answer has no end of its own, and the client will connect again, it ends. */
  endIfEndless(): void;
  /** Tells the client that its connection ends with this answer, or that it does not. */
  announceEnd(isLast: boolean): void;
}

/** A connection, as far as its end goes. */
export interface Endable {
  readonly socket: Socket;
  readonly session: ServerHttp2Session | undefined;
  readonly protocol: Protocol;
  readonly bytesSeen: number;
  readonly arrivals: ReadonlySet<Work>;
  /** Streams that are over and not closed. */
  readonly leftOpen: ReadonlySet<ServerHttp2Stream>;
}

/** One look at all connections. */
export interface Look {
  /** Whether those end as well that are not idle but on which no request runs, whatever their protocol. */
  readonly others: boolean;
  /** ms for which a request, or the end of the connection, waits for a client that does nothing. */
  readonly stalledAfter: number;
  readonly heads: Heads;
}

/** Node's own socket below a net.Socket. */
interface Handle {
  /** Bytes that the kernel has not taken. */
  readonly writeQueueSize?: number;
}

export class Ending {
  /** Whether the client is told that what comes from now on has not run, so that it must not. HTTP/2 over TLS. */
  refusesStreams = false;
  readonly #connection: Endable;
  readonly #socket: Socket;
  #hasBegun = false;
  #quietSince = performance.now();
  /** Bytes that have come, and that the kernel has taken from us; and since when there were no more of them. */
  #moved = 0;
  #movedAt = this.#quietSince;

  constructor(connection: Endable) {
    this.#connection = connection;
    this.#socket = connection.socket;
  }

  /** Says to the client of HTTP/2 that it should send no more requests here. Answers of HTTP/1.1 say so one by one. */
  announce(): void {
    const { session } = this.#connection;
    if (session !== undefined && isOpen(session)) this.#announceGoaway(session);
    this.#quietSince = performance.now();
  }

  /** Whether another request may come. */
  get isServing(): boolean {
    const { protocol, arrivals, leftOpen } = this.#connection;
    if (protocol === 'http2') return !(this.#hasBegun && arrivals.size === 0 && leftOpen.size > 0);
    return protocol === 'http1';
  }

  /** Ends what can end now. To be called after the turn's reading. */
  look({ others, stalledAfter, heads }: Look): void {
    const connection = this.#connection;
    const isStalled = this.#isStalled(stalledAfter);
    for (const arrival of connection.arrivals) {
      arrival.endIfEndless();
      if (isStalled && arrival.waitsForClient) arrival.giveUp();
    }
    this.#endTunnels(others);
    if (this.#hasBegun) {
      this.#closeUnread();
      // It does not read our last words. A tunnel may be silent for a while.
      if (isStalled && (others || connection.leftOpen.size === 0)) this.#cut();
    } else if (connection.arrivals.size > 0) {
      this.#quietSince = performance.now();
    } else if (others || (connection.protocol !== 'other' && (isStalled || this.#isQuiet(heads)))) {
      this.#begin();
    }
  }

  /** Ends it when what has been written is sent. */
  #begin(): void {
    this.#hasBegun = true;
    const { session } = this.#connection;
    // A session that is over leaves its socket to the client, which may never close it.
    if (session === undefined || session.destroyed) endSoon(this.#socket);
    else if (!session.closed) session.close();
  }

  /** WebSockets are told at once, since they can come back; other talks may go on for a while. */
  #endTunnels(others: boolean): void {
    if (this.#connection.protocol === 'other') restartWebSocket(this.#socket);
    for (const stream of this.#connection.leftOpen) {
      restartWebSocket(stream);
      if (others) stream.close(CANCEL);
    }
  }

  /** A session that is closed waits for its streams, also for one whose answer is sent and whose body nobody reads. */
  #closeUnread(): void {
    for (const stream of this.#connection.leftOpen)
      if (stream.writableFinished && stream.readableFlowing !== true) stream.destroy();
  }

  /**
   * Node writes whole frames, and the socket keeps the order, so one of ours fits between two of its own. A TLS socket takes no
   * write during another one. So there the client is told what has been begun, and sends the rest elsewhere. That GOAWAY
   * names its last stream now and leaves later, after writes that are under way: what is read in between is not to run.
   */
  #announceGoaway(session: ServerHttp2Session): void {
    if ('encrypted' in this.#socket) {
      this.refusesStreams = true;
      session.goaway();
    } else if (session.pendingSettingsAck) {
      // SETTINGS must be the first frame, and Node may not have written it as yet (RFC 9113, 3.4). Node says that it is known
      // while it reads a packet. A write that failed there would end the session with frames left to read, which Node 20 and
      // 22 do not survive (nodejs/node#64850).
      session.once('localSettings', () => setImmediate(() => this.#notifyOfShutdown(session)));
    } else {
      this.#notifyOfShutdown(session);
    }
  }

  #notifyOfShutdown(session: ServerHttp2Session): void {
    if (isOpen(session)) this.#socket.write(SHUTDOWN_NOTICE);
  }

  #isQuiet(heads: Heads): boolean {
    const now = performance.now();
    // A head that has come in part is a request under way. HTTP/2 has frames of its own for when nothing runs.
    if (this.#connection.protocol === 'http1') {
      if (heads.isInHead(this.#connection)) this.#quietSince = now;
      return now - Math.max(this.#quietSince, this.#movedAt) >= QUIET;
    }
    return now - this.#quietSince >= QUIET;
  }

  #isStalled(stalledAfter: number): boolean {
    const { bytesRead = 0, bytesWritten = 0, writableLength } = this.#socket as Partial<Socket> & Writable;
    const { _handle: handle } = this.#socket as { _handle?: Handle | null };
    const moved = bytesRead + bytesWritten - writableLength - (handle?.writeQueueSize ?? 0);
    const now = performance.now();
    if (moved !== this.#moved) this.#movedAt = now;
    this.#moved = moved;
    return now - this.#movedAt >= stalledAfter;
  }

  #cut(): void {
    this.#connection.session?.destroy();
    this.#socket.destroy();
  }
}

/** One that has failed is destroyed, and not closed. */
function isOpen(session: ServerHttp2Session): boolean {
  return !session.closed && !session.destroyed;
}

/** Ends a stream when what has been written is sent. One that is no socket knows no destroySoon. */
export function endSoon(stream: Writable & { destroySoon?: () => void }): void {
  if (stream.destroySoon !== undefined) stream.destroySoon();
  else stream.end(() => stream.destroy());
}
