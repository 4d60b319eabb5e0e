/**
 * The servers of a replica, made and used by a script that knows nothing of this: counts their requests, holds those
 * that come in a window, and brings them to their end when the replica stops.
 *
 * All of it is seen in one place, `emit` of net.Server, from which every server of Node inherits: before the listeners
 * of the script, and without loading http or http2 into a replica that does not serve.
 */

import type { EventEmitter } from 'node:events';
import type { ServerHttp2Session } from 'node:http2';
import { Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Segment } from '../../memory/segment.js';
import type { Mailbox, Stretch } from '../messages/mailbox.js';
import {
  type Answer,
  type Arrival,
  carrierOf,
  isOfStream,
  isUpgrade,
  refuse,
  refuseStream,
  responseOf,
  waitsForClient,
} from './arrivals.js';
import { Connection, Connections } from './connections.js';
import { endIfEndless } from './endless.js';
import { HeldRequests, type HoldLimits } from './held-requests.js';
import { acceptWaiting } from './listening.js';

/** ms between two looks at the connections while the replica stops. */
const LOOK = 20;

const OWNER = Symbol('ballermann.owner');
const BEGUN = Symbol('ballermann.begun');

/** What a request came with: a response, an HTTP/2 stream, a socket. */
interface Carrier extends EventEmitter {
  readonly destroyed: boolean;
  /** Undefined before it was seen; null where there is no connection of ours, or none any more. */
  [OWNER]?: Connection | null;
  /** What the mailbox counts the request in while it runs. */
  [BEGUN]?: Stretch | undefined;
}

type Emit = (this: Server, event: string, ...args: unknown[]) => boolean;

export class Servers {
  readonly #mailbox: Mailbox;
  readonly #words: Int32Array;
  readonly #windowsWord: number;
  readonly #requestsWord: number;
  readonly #begunWord: number;
  readonly #held: HeldRequests;
  readonly #connections: Connections;
  readonly #listening = new Set<Server>();
  readonly #listened: () => void;
  /** What is being answered; of upgrades nothing. */
  readonly #answers = new Set<Answer & Carrier>();
  /** `emit` as it was. */
  readonly #emit: Emit;
  /** A listener of carriers; one for all. */
  readonly #closed: (this: Carrier) => void;
  #hasListened = false;
  #running = 0;
  #begun = 0;
  /** Of the looks at the connections; undefined while the replica does not stop. */
  #looking: NodeJS.Timeout | undefined;

  /**
   * Watches the servers of this process from now on. There is one of this a process.
   * @param listened is called when a server listens, wherever and however.
   */
  constructor(segment: Segment, slot: number, mailbox: Mailbox, limits: HoldLimits, listened: () => void) {
    const { layout } = segment.addon;
    this.#listened = listened;
    this.#mailbox = mailbox;
    this.#words = segment.words;
    this.#windowsWord = segment.slotWord(slot, layout.slotWindows);
    this.#requestsWord = segment.slotWord(slot, layout.slotRequests);
    this.#begunWord = segment.slotWord(slot, layout.slotBegun);
    this.#held = new HeldRequests(limits, ({ arrival }) => this.#refuse(arrival));
    this.#connections = new Connections(({ queued }) => {
      if (queued !== undefined) for (const response of queued) this.#over(response as Carrier);
    });
    this.#emit = Server.prototype.emit as Emit;
    const servers = this;
    this.#closed = function (this: Carrier): void {
      servers.#over(this);
    };
    this.#watch();
  }

  /** The last window has ended. */
  resumed(): void {
    try {
      while (this.#held.size > 0 && this.#claim()) {
        const held = this.#held.take();
        if (held === undefined) {
          this.#giveBack();
          return;
        }
        held.runInAsyncScope(() => this.#run(held.server, held.arrival));
      }
    } finally {
      // A handler has thrown, and the script may live on after that.
      if (this.#held.size > 0 && !this.#isWindow) setImmediate(() => this.resumed());
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
      setImmediate(() => this.#endSome(performance.now() >= othersUntil, stalledAfter));
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

  /** After `stop`: resolves when no connection is left. */
  async connectionsEnded(): Promise<void> {
    while (this.#connections.size > 0) await sleep(LOOK);
  }

  get #isWindow(): boolean {
    return Atomics.load(this.#words, this.#windowsWord) !== 0;
  }

  /** Whether a request runs, waits, or may still come. */
  get isServing(): boolean {
    return this.#running > 0 || this.#held.size > 0 || this.#connections.isServing;
  }

  #endSome(others: boolean, stalledAfter: number): void {
    for (const answer of this.#answers) {
      endIfEndless(answer);
      if (waitsForClient(answer)) answer[OWNER]?.giveUp(answer, stalledAfter);
    }
    this.#connections.end(others, stalledAfter);
  }

  #watch(): void {
    const servers = this;
    const emit = this.#emit;
    Server.prototype.emit = function (this: Server, event: string, ...args: unknown[]): boolean {
      if (servers.#sees(this, event, args)) return true;
      try {
        return emit.call(this, event, ...args);
      } finally {
        if (event === 'listening') servers.#listened(); // after node:cluster's own listener, which tells the primary where
      }
    } as Server['emit'];
  }

  /** Whether the listeners are not to be called now: the request is held, or it has been dealt with. */
  #sees(server: Server, event: string, args: unknown[]): boolean {
    switch (event) {
      case 'request':
      case 'checkContinue':
      case 'checkExpectation':
      case 'upgrade':
      case 'connect':
      case 'stream':
        return isHttp(server) && this.#arrives(server, [event, args] as unknown as Arrival);
      case 'connection':
        if (isTls(server)) this.#connections.addEncrypted(args[0] as Socket);
        else this.#connections.add(server, args[0] as Socket);
        return false;
      case 'secureConnection':
        this.#connections.addSecured(server, args[0] as Socket);
        return false;
      case 'session':
        if (isHttp(server)) this.#connections.addSession(args[0] as ServerHttp2Session);
        return false;
      case 'listening':
        this.#hasListened = true;
        this.#listening.add(server);
        if (this.#looking !== undefined) stopListening(server);
        return false;
      case 'close':
        this.#listening.delete(server);
        return false;
      default:
        return false;
    }
  }

  /** Begins a request and answers false, or holds, refuses or runs it and answers true. */
  #arrives(server: Server, arrival: Arrival): boolean {
    const [event, args] = arrival;
    const carrier: Carrier = carrierOf(arrival);
    // A server may pass on what has been seen: an HTTP/2 server emits its streams as requests, for one.
    if (carrier[OWNER] !== undefined || carrier.destroyed || isOfStream(arrival)) return false;
    const connection = Connection.of(event === 'stream' ? args[0].session : args[0].socket);
    carrier[OWNER] = connection ?? null;
    if (event === 'stream' && connection?.refusesStreams === true) {
      refuseStream(args[0]);
      return true;
    }
    connection?.begins(responseOf(arrival));
    if (!isUpgrade(event)) carrier.on('close', this.#closed);
    if (this.#held.size > 0 || !this.#claim()) {
      if (!this.#held.add(server, arrival)) this.#refuse(arrival);
      return true;
    }
    if (isUpgrade(event)) {
      this.#upgrade(server, arrival);
      return true;
    }
    this.#answers.add(carrier as Answer);
    carrier[BEGUN] = this.#begin();
    return false;
  }

  /** Runs what was held. It is counted already. */
  #run(server: Server, arrival: Arrival): void {
    const [event, args] = arrival;
    if (isUpgrade(event)) return this.#upgrade(server, arrival);
    const carrier: Carrier = carrierOf(arrival);
    this.#answers.add(carrier as Answer);
    carrier[BEGUN] = this.#begin();
    this.#emit.call(server, event, ...args);
  }

  /** Runs until its handler returns: nobody could say when the talk that follows is over. */
  #upgrade(server: Server, arrival: Arrival): void {
    const [event, args] = arrival;
    const stretch = this.#begin();
    const carrier: Carrier = carrierOf(arrival);
    carrier[OWNER]?.upgrades();
    try {
      this.#emit.call(server, event, ...args);
    } finally {
      carrier[OWNER]?.ends(carrier);
      this.#giveBack();
      this.#mailbox.finish(stretch);
    }
  }

  #refuse(arrival: Arrival): void {
    if (isUpgrade(arrival[0])) (carrierOf(arrival) as Carrier)[OWNER]?.ends(carrierOf(arrival));
    refuse(arrival);
  }

  /** Counts a request, and then looks whether it may run: a window is opened first and counts afterwards. */
  #claim(): boolean {
    Atomics.store(this.#words, this.#requestsWord, ++this.#running);
    if (!this.#isWindow) return true;
    this.#giveBack();
    return false;
  }

  #giveBack(): void {
    Atomics.store(this.#words, this.#requestsWord, --this.#running);
  }

  #begin(): Stretch {
    this.#begun = (this.#begun + 1) | 0;
    Atomics.store(this.#words, this.#begunWord, this.#begun);
    return this.#mailbox.begin();
  }

  /** A request is over, or its client has gone while it was held. Calling it again does nothing. */
  #over(carrier: Carrier): void {
    carrier[OWNER]?.ends(carrier);
    carrier[OWNER] = null;
    const stretch = carrier[BEGUN];
    if (stretch === undefined) return;
    carrier[BEGUN] = undefined;
    this.#answers.delete(carrier as Answer);
    this.#giveBack();
    this.#mailbox.finish(stretch);
  }
}

/** By a method that only HTTP/1 servers have, or only HTTP/2 servers: others have events of the same names too. */
function isHttp(server: Server): boolean {
  return 'closeIdleConnections' in server || 'updateSettings' in server;
}

function isTls(server: Server): boolean {
  return 'setSecureContext' in server;
}

/**
 * Closes the listening socket. A server's own close() would cut the idle connections of an HTTP server at once, the
 * one on which a request is just coming among them. Where the script calls it later, it has nothing to do any more.
 */
function stopListening(server: Server): void {
  if (!server.listening) return;
  acceptWaiting(server);
  const closed = new Promise((resolve) => server.once('close', resolve));
  Server.prototype.close.call(server);
  server.close = (callback?: (error?: Error) => void): Server => {
    if (callback !== undefined) void closed.then(() => callback());
    return server;
  };
}
