/**
 * A connection of a server: it owns what has arrived on it. What ends the connection ends all of that, since Node does not
 * tell each of them.
 */

import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
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
    if (this.session !== undefined && this.arrivals.size > 0) readOn(this.socket, this.session);
    for (const arrival of this.arrivals) if (arrival.isOver) arrival.end();
    for (const stream of this.leftOpen) if (stream.destroyed) this.leftOpen.delete(stream);
  }

  /** It is closed, or not a connection of its own any more. */
  end(): void {
    for (const arrival of this.arrivals) arrival.end();
    delete (this.socket as Owned)[CONNECTION];
  }
}

const LEAVES_FAILED_SESSIONS = Number.parseInt(process.versions.node, 10) === 20;

/** Node's own socket below a net.Socket. */
interface Handle {
  readonly writeQueueSize: number;
  readStart(): void;
}

/**
 * Node 20 leaves a session open that it has ended for an error of its client's, with all its streams, and reads no more:
 * so it would never see that the client has gone. Where it writes it does not read either; that is left alone.
 */
function readOn(socket: Socket, { closed, destroyed }: ServerHttp2Session): void {
  const { _handle: handle } = socket as { _handle?: Handle | null };
  if (LEAVES_FAILED_SESSIONS && !closed && !destroyed && handle?.writeQueueSize === 0) handle.readStart();
}
