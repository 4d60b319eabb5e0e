/** The open connections of a replica's servers. */

import type { ServerHttp2Session } from 'node:http2';
import { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import type { Segment } from '../../memory/segment.js';
import { Connection } from './connection.js';
import { Heads } from './heads.js';

/** ms that a TLS handshake may still take when the replica stops. */
const HANDSHAKE = 1_000;

/** ms between two looks for what is over without an event. */
const SWEEP = 250;

export class Connections {
  readonly #open = new Set<Connection>();
  /** Those of TLS servers below TLS, and above it: what has no counterpart above is in its handshake. */
  readonly #encrypted = new Set<Socket>();
  readonly #secured = new Set<Socket>();
  /** Streams that are no sockets, given to a server as connections: some socket of another server carries them. */
  readonly #injected = new Set<Duplex>();
  readonly #words: Int32Array;
  readonly #acceptedWord: number;
  #accepted = 0;
  #sweeping: NodeJS.Timeout | undefined;
  /** When the end was announced (ms); undefined before. */
  #endingSince: number | undefined;

  /** @param slot is told how many have come. */
  constructor(segment: Segment, slot: number) {
    this.#words = segment.words;
    this.#acceptedWord = segment.slotWord(slot, segment.addon.layout.slotAccepted);
  }

  /** A connection to a TLS server: what `addSecured` is given when its handshake is over is another socket. */
  addEncrypted(socket: Socket): void {
    this.#count(socket);
    const known = Connection.of(socket); // of a server in front, which looks at the first bytes
    if (known !== undefined) this.#forget(known);
    this.#encrypted.add(socket);
    this.#watch(socket);
  }

  addSecured(socket: Socket): void {
    this.#secured.add(socket);
    this.#keep(socket);
  }

  /** A connection has come to a server, and may have come to another one before. */
  add(socket: Socket): void {
    this.#count(socket);
    this.#keep(socket);
  }

  #keep(socket: Socket): void {
    if (Connection.of(socket) !== undefined) return;
    const connection = new Connection(socket);
    this.#open.add(connection);
    socket.once('close', () => this.#forget(connection));
    if (this.#endingSince !== undefined) connection.announceEnd();
    this.#watch(socket);
  }

  addSession(session: ServerHttp2Session): void {
    Connection.of(session.socket)?.begin(session);
  }

  /** From now on connections end when they are idle, as `look` finds them. */
  announceEnd(): void {
    this.#endingSince = performance.now();
    for (const connection of this.#open) connection.announceEnd();
  }

  /** After `announceEnd`: ends what can end. @param others and @param stalledAfter as in `Look`. */
  look(others: boolean, stalledAfter: number): void {
    this.#sweep();
    const look = { others: others && !this.#mayCarryRequests, stalledAfter, heads: new Heads() };
    for (const { ending } of this.#open) ending?.look(look);
  }

  /** Nobody says which connection carries an injected one. */
  get #mayCarryRequests(): boolean {
    if (this.#injected.size === 0) return false;
    for (const { arrivals } of this.#open) if (arrivals.size > 0) return true;
    return false;
  }

  /** After `announceEnd`: whether one is left that may bring another request. */
  get isServing(): boolean {
    for (const { ending } of this.#open) if (ending?.isServing) return true;
    const areHandshakesLate = performance.now() - (this.#endingSince as number) > HANDSHAKE;
    return this.#encrypted.size > this.#secured.size && !areHandshakesLate;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Once a connection, whichever servers it comes to. One in another, and a stream that is no socket, is none of its own. */
  #count(socket: Duplex): void {
    const isKnown = Connection.of(socket) !== undefined || this.#encrypted.has(socket as Socket);
    if (isKnown || !(socket instanceof Socket)) return;
    this.#accepted = (this.#accepted + 1) | 0;
    Atomics.store(this.#words, this.#acceptedWord, this.#accepted);
  }

  #watch(socket: Duplex): void {
    if (!(socket instanceof Socket)) this.#injected.add(socket);
    this.#sweeping ??= setInterval(() => this.#sweep(), SWEEP).unref();
  }

  /** Finds what is closed, and what is over, where a script has taken our listeners off or Node has told nobody. */
  #sweep(): void {
    for (const streams of [this.#encrypted, this.#secured, this.#injected])
      for (const stream of streams) if (stream.destroyed) streams.delete(stream as Socket);
    for (const connection of this.#open) {
      if (connection.isClosed) this.#forget(connection);
      else connection.sweep();
    }
    if (this.#open.size > 0 || this.#encrypted.size > 0) return;
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
  }

  #forget(connection: Connection): void {
    if (this.#open.delete(connection)) connection.end();
  }
}
