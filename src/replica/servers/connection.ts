/**
 * A connection of a server: it owns what has arrived on it. What ends the connection ends all of that, since Node does not
 * tell each of them.
 */

import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { addon } from '../../memory/addon.js';
import { type Endable, Ending, type Protocol, type Work } from './ending.js';

const CONNECTION = Symbol('ballermann.connection');

interface Owned {
  [CONNECTION]?: Connection;
}

export class Connection implements Endable {
  /** Any Duplex that the script has handed to its server as a connection. */
  readonly socket: Socket;
  /** Requests that are held, running, or refused and not gone. */
  readonly arrivals = new Set<Work>();
  session: ServerHttp2Session | undefined;
  /** How it is brought to its end; undefined while the replica does not stop. */
  ending: Ending | undefined;
  /** Bytes read by the end of the last request: what has come since is the beginning of the next. */
  bytesSeen: number;
  /** Streams that are over and not closed, as the last sweep has found them: tunnels, and those whose body nobody reads any more. */
  readonly leftOpen = new Set<ServerHttp2Stream>();
  /** At the last sweep. */
  #hadPeerClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    this.bytesSeen = socket.bytesRead;
    (socket as Owned)[CONNECTION] = this;
  }

  /** Of a socket, or of an HTTP/2 session; undefined where it came to no server of ours. */
  static of(carrier: object | null | undefined): Connection | undefined {
    return (carrier as Owned | null | undefined)?.[CONNECTION];
  }

  /** By what Node has on it now: servers hand connections to one another, and an upgrade takes the parser off. */
  get protocol(): Protocol {
    if (this.session !== undefined) return 'http2';
    return (this.socket as { parser?: object | null }).parser ? 'http1' : 'other';
  }

  /** Sent to another process is closed as well: Node takes its handle then, and says nothing. */
  get isClosed(): boolean {
    return this.socket.destroyed || (this.socket as { _handle?: unknown })._handle === null;
  }

  begin(session: ServerHttp2Session): void {
    this.session = session;
    (session as Owned)[CONNECTION] = this;
    this.ending?.announce();
  }

  add(arrival: Work): void {
    if (this.ending !== undefined) {
      // The last one says so: Node drops what waits behind an answer that does.
      this.last?.announceEnd(false);
      arrival.announceEnd(true);
    }
    this.arrivals.add(arrival);
  }

  delete(arrival: Work): void {
    this.arrivals.delete(arrival);
    this.bytesSeen = this.socket.bytesRead;
  }

  /** The last that has arrived of those that are not over. */
  get last(): Work | undefined {
    let last: Work | undefined;
    for (const arrival of this.arrivals) last = arrival;
    return last;
  }

  /** From now on it ends when it is idle. */
  announceEnd(): void {
    this.ending = new Ending(this);
    this.last?.announceEnd(true);
    this.ending.announce();
  }

  /** Ends what is over, though no event has said so. */
  sweep(): void {
    if (KEEPS_FAILED_SESSIONS && this.session !== undefined) this.#closeWithPeer();
    for (const arrival of this.arrivals) if (arrival.isOver) arrival.end();
    for (const stream of this.leftOpen) if (stream.destroyed) this.leftOpen.delete(stream);
  }

  /** Node has the time from one sweep to the next to see the end by itself. */
  #closeWithPeer(): void {
    const hasClosed = this.arrivals.size > 0 && hasPeerClosed(this.socket);
    if (hasClosed && this.#hadPeerClosed) this.socket.destroy();
    this.#hadPeerClosed = hasClosed;
  }

  /** It is closed, or not a connection of its own any more. */
  end(): void {
    for (const arrival of this.arrivals) arrival.end();
    delete (this.socket as Owned)[CONNECTION];
  }
}

/**
 * Node 20 keeps a session that it has ended for an error of its client's, with all its streams, and reads no more: so it never
 * sees that the client has gone. To have it read on is no way: it asserts that it does not where it writes.
 */
const KEEPS_FAILED_SESSIONS = Number.parseInt(process.versions.node, 10) === 20;

function hasPeerClosed(socket: Socket): boolean {
  const { fd = -1 } = (socket as { _handle?: { readonly fd?: number } | null })._handle ?? {};
  return fd >= 0 && addon().hasPeerClosed(fd);
}
