/** The forms in which work reaches a server, and what ends it in each: here is all that differs between them. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Arrival, type Emit, isNew } from './arrival.js';
import { Connection } from './connection.js';
import { endSoon } from './ending.js';
import { endIfEndless } from './endless.js';

/** HTTP/2 error codes (RFC 9113, 7). node:http2 is not loaded for them. */
const REFUSED_STREAM = 7;
const CANCEL = 8;

/** ms for which a client may go on sending after its upgrade was refused: closed at once, it might lose the answer. */
const LINGER = 1_000;

const UPGRADE_REFUSED =
  'HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

/**
 * HTTP/1.1. Over with its response: finished, or closed with the connection. Node gives the connection up when its client has
 * closed its side: that is looked at as well, since a script may have taken Node's own listeners off.
 */
class RequestArrival extends Arrival {
  protected readonly carrier: ServerResponse;
  readonly #request: IncomingMessage;

  constructor(server: Server, event: string, args: [IncomingMessage, ServerResponse]) {
    super(server, event, args, Connection.of(args[0].socket));
    [this.#request, this.carrier] = args;
  }

  get isOver(): boolean {
    return this.carrier.destroyed || this.carrier.writableFinished || this.#hasClientGone;
  }

  get #hasClientGone(): boolean {
    const { socket } = this.#request as { socket: Socket | null }; // none where a script has made the request up
    const { httpAllowHalfOpen } = this.server as { httpAllowHalfOpen?: boolean };
    return socket !== null && (socket.destroyed || (socket.readableEnded && httpAllowHalfOpen !== true));
  }

  protected answerUnavailable(): void {
    this.carrier.writeHead(503, { 'Retry-After': '1', 'Content-Length': '0' }).end();
  }

  override get waitsForClient(): boolean {
    if (this.carrier.socket === null) return false; // it waits for the answer before it (pipelining)
    return isAwaited(this.#request, this.#request.complete) || this.carrier.writableLength > 0;
  }

  override giveUp(): void {
    this.#request.socket.destroy();
  }

  override endIfEndless(): void {
    endIfEndless(this.carrier);
  }

  override announceEnd(isLast: boolean): void {
    if (!this.carrier.headersSent) this.carrier.shouldKeepAlive = !isLast;
  }
}

/**
 * HTTP/2. Over with its answer as a request of HTTP/1.1 is, whoever goes on reading or sending its body; or when it is closed.
 * One by CONNECT, a WebSocket for instance, is a tunnel: over when its handler has returned.
 */
class StreamArrival extends Arrival {
  protected readonly carrier: ServerHttp2Stream;
  readonly #isTunnel: boolean;

  constructor(server: Server, event: string, args: [ServerHttp2Stream, ...unknown[]]) {
    super(server, event, args, Connection.of(args[0].session));
    this.carrier = args[0];
    this.#isTunnel = (args[1] as Record<string, unknown> | undefined)?.[':method'] === 'CONNECT';
  }

  get isOver(): boolean {
    return this.carrier.destroyed || this.carrier.closed || this.#isAnswered;
  }

  /** Node ends the writable side of a HEAD request before anybody has answered it, and that of a file before it is sent. */
  get #isAnswered(): boolean {
    const { headersSent, writableFinished } = this.carrier;
    return headersSent && writableFinished && this.carrier.state.localClose === 1;
  }

  protected override ended(): void {
    if (!this.carrier.destroyed) this.connection?.leftOpen.add(this.carrier);
  }

  override run(emit: Emit): boolean {
    if (!this.#isTunnel) return super.run(emit);
    try {
      return super.run(emit);
    } finally {
      this.end();
    }
  }

  /** Node closes a stream whose answer is sent and whose body nobody has begun to read. */
  protected answerUnavailable(): void {
    this.carrier.respond({ ':status': 503, 'retry-after': '1' }, { endStream: true });
  }

  /** Says that nothing has run and the client may send it again (RFC 9113, 8.7). */
  reject(): void {
    this.own(); // Node makes an error of the code, for the side that sends it too
    this.carrier.close(REFUSED_STREAM);
  }

  override get waitsForClient(): boolean {
    const { readableEnded, headersSent, writableEnded } = this.carrier;
    const isUnread = this.carrier.writableLength > 0 || (headersSent && writableEnded && !this.#isAnswered);
    return isAwaited(this.carrier, readableEnded) || isUnread;
  }

  override giveUp(): void {
    this.carrier.close(CANCEL);
  }

  override endIfEndless(): void {
    endIfEndless(this.carrier);
  }
}

/** An upgrade, or CONNECT, of HTTP/1.1. Over when its handler has returned: nobody could say when the talk that follows is. */
class UpgradeArrival extends Arrival {
  /** Node may give the script a stream of its own around the socket. */
  protected readonly carrier: Duplex;
  readonly #socket: Socket;
  #hasRun = false;

  constructor(server: Server, event: string, args: [IncomingMessage, Duplex, Buffer]) {
    super(server, event, args, Connection.of(args[0].socket));
    this.#socket = args[0].socket;
    this.carrier = args[1];
  }

  /** A client that has closed its side wants no other protocol any more. */
  get isOver(): boolean {
    return this.carrier.destroyed || this.#socket.destroyed || this.#socket.readableEnded;
  }

  protected override ended(): void {
    if (!this.#hasRun) endSoon(this.#socket);
  }

  override run(emit: Emit): boolean {
    this.#hasRun = true;
    try {
      return super.run(emit);
    } finally {
      this.end();
    }
  }

  /** Node has left the socket to us: nobody reads from it, so nobody would see that the client closes it. */
  protected answerUnavailable(): void {
    this.carrier.end(UPGRADE_REFUSED);
    this.carrier.resume();
    const timer = setTimeout(() => this.#socket.destroy(), LINGER).unref();
    this.#socket.once('close', () => clearTimeout(timer));
  }
}

/**
 * @returns undefined for all other events, and where it was seen before: a server of HTTP/2, for one,
 * emits its streams as requests.
 */
export function arrivalOf(server: Server, event: string, args: unknown[]): Arrival | undefined {
  switch (event) {
    case 'request':
    case 'checkContinue':
    case 'checkExpectation': {
      const exchange = args as [IncomingMessage, ServerResponse];
      return isHttp1(server, exchange[0]) && isNew(exchange[1])
        ? new RequestArrival(server, event, exchange)
        : undefined;
    }
    case 'upgrade':
    case 'connect': {
      const exchange = args as [IncomingMessage, Duplex, Buffer];
      return isHttp1(server, exchange[0]) && isNew(exchange[1])
        ? new UpgradeArrival(server, event, exchange)
        : undefined;
    }
    case 'stream': {
      const stream = args as [ServerHttp2Stream, ...unknown[]];
      return isHttp(server) && isNew(stream[0]) ? new StreamArrival(server, event, stream) : undefined;
    }
    default:
      return undefined;
  }
}

export function isStream(arrival: Arrival): arrival is StreamArrival {
  return arrival instanceof StreamArrival;
}

/** By a method that only HTTP/1 servers have, or only HTTP/2 servers: others have events of the same names too. */
export function isHttp(server: Server): boolean {
  return 'closeIdleConnections' in server || 'updateSettings' in server;
}

function isHttp1(server: Server, request: IncomingMessage): boolean {
  return isHttp(server) && request.httpVersionMajor !== 2;
}

/** Whether somebody reads the body and has read all that has come. */
function isAwaited(body: IncomingMessage | ServerHttp2Stream, isWhole: boolean): boolean {
  const isRead = body.readableFlowing === true || body.listenerCount('readable') > 0;
  return !isWhole && isRead && body.readableLength === 0;
}
