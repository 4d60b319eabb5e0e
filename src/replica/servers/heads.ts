/**
 * Which HTTP/1.1 connections have sent the head of a request in part. Node keeps a list of its parsers for the time limits of
 * requests; the idle ones on it are between two requests. One object serves one look at all connections.
 */

import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** Node's own list, under a symbol of the server's. */
const LIST = 'http.server.connections';

interface Parser {
  /** The request whose head is complete. */
  readonly incoming?: IncomingMessage | null;
}

interface Parsers {
  idle(): readonly Parser[];
}

/** What http has on a socket. */
interface OfHttp {
  readonly parser?: Parser | null;
  readonly server?: object;
}

/** A connection. */
interface Heard {
  readonly socket: Socket;
  /** Bytes read by the end of the last request: what has come since is the beginning of the next. */
  readonly bytesSeen: number;
}

export class Heads {
  /** Null where Node keeps no list: a server that was never told to listen has none. */
  readonly #idle = new Map<object, ReadonlySet<Parser> | null>();

  isInHead({ socket, bytesSeen }: Heard): boolean {
    const { parser, server } = socket as OfHttp;
    if (!parser || server === undefined || socket.bytesRead === 0) return false;
    const idle = this.#idleOf(server);
    // Then what has come since the last answer is taken for a head.
    if (idle === null) return socket.bytesRead !== bytesSeen;
    return !idle.has(parser) && (parser.incoming?.complete ?? true);
  }

  #idleOf(server: object): ReadonlySet<Parser> | null {
    const known = this.#idle.get(server);
    if (known !== undefined) return known;
    const key = Object.getOwnPropertySymbols(server).find(({ description }) => description === LIST);
    const list = key && (server as Record<symbol, Partial<Parsers> | undefined>)[key];
    const idle = typeof list?.idle === 'function' ? new Set(list.idle()) : null;
    this.#idle.set(server, idle);
    return idle;
  }
}
