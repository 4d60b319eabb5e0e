/**
 * One piece of work that has reached a server: a request, a stream, an upgrade.
 *
 * It is owned by its connection, and in one stage at a time: held, running, or neither (refused). Both end by `end()`, which
 * does nothing the second time, so whoever knows first may call it: an event of Node's, the end of the connection, or
 * a look at `isOver`, for the events that are missing. They are where a script has removed listeners or detached the
 * socket, where an answer waits behind another one in a pipeline, and for an HTTP/2 stream whose body nobody reads.
 */

import type { EventEmitter } from 'node:events';
import type { Server } from 'node:net';
import type { Connection } from './connection.js';
import type { Work } from './ending.js';

const ARRIVAL = Symbol('ballermann.arrival');

/** What closes when the work is over, or when its client has gone. */
export type Carrier = EventEmitter & { readonly destroyed: boolean; [ARRIVAL]?: Arrival | undefined };

export type Emit = (this: Server, event: string, ...args: unknown[]) => boolean;

/** Those that are held, or those that run. */
export interface Stage {
  delete(arrival: Arrival): void;
}

export abstract class Arrival implements Work {
  readonly connection: Connection | undefined;
  protected abstract readonly carrier: Carrier;
  protected readonly server: Server;
  readonly #event: string;
  readonly #args: readonly unknown[];
  #stage: Stage | undefined;
  #isOurs = false;
  #isEnded = false;

  constructor(server: Server, event: string, args: readonly unknown[], connection: Connection | undefined) {
    this.server = server;
    this.#event = event;
    this.#args = args;
    this.connection = connection;
  }

  /** From now on its connection owns it, and what closes with it ends it. */
  begin(): void {
    this.carrier[ARRIVAL] = this;
    this.carrier.on('close', closed);
    this.connection?.add(this);
  }

  /** It is in that stage from now on, and in no other. */
  enter(stage: Stage): void {
    this.#stage?.delete(this);
    this.#stage = stage;
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.carrier[ARRIVAL] = undefined;
    this.#stage?.delete(this);
    this.connection?.delete(this);
    this.ended();
  }

  /** Calls the listeners of the server; errors are theirs from now on. @returns whether there are any. */
  run(emit: Emit): boolean {
    if (this.#isOurs) this.carrier.off('error', ignore);
    this.#isOurs = false;
    return emit.call(this.server, this.#event, ...this.#args);
  }

  abstract get isOver(): boolean;

  /** Answers in the server's stead that there is no room now. */
  refuse(): void {
    this.own();
    if (!this.isOver) this.answerUnavailable();
  }

  /** Until it runs nobody else listens for errors. */
  own(): void {
    if (this.#isOurs) return;
    this.#isOurs = true;
    this.carrier.on('error', ignore);
  }

  protected abstract answerUnavailable(): void;

  protected ended(): void {}

  get waitsForClient(): boolean {
    return false;
  }

  giveUp(): void {}

  endIfEndless(): void {}

  announceEnd(_isLast: boolean): void {}
}

/** Whether it brings work that was not seen before: a server may pass on what it has got. */
export function isNew(carrier: Carrier): boolean {
  return carrier[ARRIVAL] === undefined && !carrier.destroyed;
}

/** One listener for all. */
function closed(this: Carrier): void {
  this[ARRIVAL]?.end();
}

function ignore(): void {}
