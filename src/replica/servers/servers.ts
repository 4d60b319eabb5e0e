/**
 * The servers of a replica, made and used by a script that knows nothing of this: counts their requests, holds those
 * that come in a window, and brings them to their end when the replica stops.
 *
 * All of it is seen in one place, `emit` of net.Server, from which every server of Node inherits: before the listeners
 * of the script, and without loading http or http2 into a replica that does not serve.
 */

import type { ServerHttp2Session } from 'node:http2';
import { Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Segment } from '../../memory/segment.js';
import type { Mailbox } from '../messages/mailbox.js';
import type { Arrival, Emit } from './arrival.js';
import { arrivalOf, isHttp, isStream } from './arrivals.js';
import { Connection } from './connection.js';
import { Connections } from './connections.js';
import { HeldRequests, type HoldLimits } from './held-requests.js';
import { RunningRequests } from './running-requests.js';
import { stopListening } from './stop-listening.js';

/** ms between two looks at the connections while the replica stops. */
const LOOK = 20;

/** Of a request that has not come in `requestTimeout`. */
const REQUEST_TIMEOUT = 'ERR_HTTP_REQUEST_TIMEOUT';

export class Servers {
  readonly #running: RunningRequests;
  readonly #held: HeldRequests;
  readonly #connections: Connections;
  readonly #listening = new Set<Server>();
  readonly #listened: () => void;
  /** `emit` as it was. */
  readonly #emit = Server.prototype.emit as Emit;
  #hasListened = false;
  /** Of the looks at the connections; undefined while the replica does not stop. */
  #looking: NodeJS.Timeout | undefined;

  /**
   * Watches the servers of this process from now on. There is one of this a process.
   * @param listened is called when a server listens, wherever and however.
   */
  constructor(segment: Segment, slot: number, mailbox: Mailbox, limits: HoldLimits, listened: () => void) {
    this.#running = new RunningRequests(segment, slot, mailbox);
    this.#held = new HeldRequests(limits);
    this.#connections = new Connections(segment, slot);
    this.#listened = listened;
    this.#watch();
  }

  /** The last window has ended. */
  resumed(): void {
    try {
      this.#held.run(this.#running, this.#emit);
    } finally {
      // A handler has thrown, and the script may live on after that.
      if (this.#held.size > 0 && !this.#running.isWindow) setImmediate(() => this.resumed());
    }
  }

  /**
   * Accepts no more, has every answer from now on say that its connection ends, ends event streams, and ends connections as
   * they get idle.
   * @param othersUntil when those are ended on which no request runs (performance.now()): of other protocols than HTTP, or
   * with a request that never quite comes.
   * @param stalledAfter ms after which a client is given up that neither sends nor reads what its request waits for.
   */
  stop(othersUntil: number, stalledAfter: number): void {
    for (const server of this.#listening) stopListening(server);
    this.#connections.announceEnd();
    this.#looking = setInterval(() => {
      // In the same turn of the event loop, after its reading.
      setImmediate(() => this.#connections.look(performance.now() >= othersUntil, stalledAfter));
    }, LOOK);
  }

  /** After `stop`: it no longer keeps the event loop alive. What is still open does. */
  unref(): void {
    this.#looking?.unref();
  }

  /**
   * After `stop`: resolves when the last request is over and no connection is left that could bring another; at `latest`
   * (performance.now()) in any case, when what is still held has been refused.
   */
  async requestsEnded(latest: number): Promise<void> {
    if (!this.#hasListened && this.#connections.size === 0) return;
    do await sleep(LOOK);
    while (this.isServing && performance.now() < latest);
    this.#held.close();
  }

  /** After `stop`: resolves when no connection is left, and what the script has not closed has told it of its end. */
  async connectionsEnded(): Promise<void> {
    while (this.#connections.size > 0) await sleep(LOOK);
    for (const server of this.#listening) server.close();
  }

  /** After `stop`: whether a request runs, waits, or may still come. */
  get isServing(): boolean {
    return this.#running.size > 0 || this.#held.size > 0 || this.#connections.isServing;
  }

  #watch(): void {
    const servers = this;
    const emit = this.#emit;
    Server.prototype.emit = function (this: Server, event: string, ...args: unknown[]): boolean {
      const arrival = arrivalOf(this, event, args);
      if (arrival !== undefined) return servers.#take(arrival);
      if (servers.#isHeldUp(event, args)) return true;
      servers.#note(this, event, args);
      try {
        return emit.call(this, event, ...args);
      } finally {
        if (event === 'listening') servers.#listened(); // after node:cluster's own listener, which tells the primary where
      }
    } as Server['emit'];
  }

  /** Runs it, or holds it in a window, or refuses it. @returns whether it has been dealt with, as `emit` does. */
  #take(arrival: Arrival): boolean {
    if (isStream(arrival) && arrival.connection?.ending?.refusesStreams) {
      arrival.reject();
      return true;
    }
    arrival.begin();
    if (this.#held.size === 0 && this.#running.admit(arrival)) return arrival.run(this.#emit);
    this.#held.add(arrival);
    return true;
  }

  /** Whether Node would give up a client that waits for the end of a window here. */
  #isHeldUp(event: string, args: unknown[]): boolean {
    if (this.#held.size === 0) return false;
    switch (event) {
      case 'timeout':
        return this.#held.has(Connection.of(args[0] as object));
      case 'clientError':
        return (
          (args[0] as NodeJS.ErrnoException).code === REQUEST_TIMEOUT &&
          this.#held.has(Connection.of(args[1] as object))
        );
      default:
        return false;
    }
  }

  #note(server: Server, event: string, args: unknown[]): void {
    switch (event) {
      case 'connection':
        if (isTls(server)) this.#connections.addEncrypted(args[0] as Socket);
        else this.#connections.add(args[0] as Socket);
        break;
      case 'secureConnection':
        this.#connections.addSecured(args[0] as Socket);
        break;
      case 'session':
        if (isHttp(server)) this.#connections.addSession(args[0] as ServerHttp2Session);
        break;
      case 'listening':
        this.#hasListened = true;
        this.#listening.add(server);
        if (this.#looking !== undefined) stopListening(server);
        break;
      case 'close':
        this.#listening.delete(server);
        break;
    }
  }
}

function isTls(server: Server): boolean {
  return 'setSecureContext' in server;
}
