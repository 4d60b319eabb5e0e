/** The requests that wait for the end of a window: in order, so many at most, none for longer than it may. */

import { AsyncResource } from 'node:async_hooks';
import { performance } from 'node:perf_hooks';
import type { Arrival, Emit, Stage } from './arrival.js';
import type { Connection } from './connection.js';
import type { RunningRequests } from './running-requests.js';

/** It goes on in the asynchronous context in which it came. */
class Held extends AsyncResource {
  /** When it came (ms). */
  readonly since = performance.now();

  constructor() {
    super('BallermannHeldRequest');
  }
}

export interface HoldLimits {
  /** Requests that a replica holds. */
  readonly maxHeldRequests: number;
  /** ms that one is held. */
  readonly maxHoldTime: number;
}

export class HeldRequests implements Stage {
  readonly #limits: HoldLimits;
  readonly #held = new Map<Arrival, Held>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(limits: HoldLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#held.size;
  }

  /** Whether one of that connection is held. */
  has(connection: Connection | undefined): boolean {
    for (const arrival of connection?.arrivals ?? []) if (this.#held.has(arrival as Arrival)) return true;
    return false;
  }

  /** Refuses it where there is no room. */
  add(arrival: Arrival): void {
    if (this.#isClosed || this.#held.size >= this.#limits.maxHeldRequests) {
      arrival.refuse();
      return;
    }
    this.#held.set(arrival, new Held());
    arrival.enter(this);
    arrival.own();
    if (this.#timer === undefined) this.#expireLater(this.#limits.maxHoldTime);
  }

  delete(arrival: Arrival): void {
    this.#held.delete(arrival);
  }

  /** Runs them in order, until a window is open again. */
  run(running: RunningRequests, emit: Emit): void {
    for (const [arrival, held] of this.#held) {
      if (arrival.isOver) arrival.end();
      else if (running.admit(arrival)) held.runInAsyncScope(() => arrival.run(emit));
      else return;
    }
  }

  /** Refuses those that wait and takes no more. */
  close(): void {
    this.#isClosed = true;
    this.#refuseUntil(Number.POSITIVE_INFINITY);
  }

  #expireLater(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#refuseUntil(performance.now() - this.#limits.maxHoldTime);
      for (const { since } of this.#held.values()) {
        this.#expireLater(Math.max(1, since + this.#limits.maxHoldTime - performance.now()));
        break;
      }
    }, ms);
  }

  /** Refuses those that came by then. */
  #refuseUntil(time: number): void {
    for (const [arrival, { since }] of this.#held) {
      if (since > time) break;
      this.#held.delete(arrival);
      arrival.refuse();
    }
  }
}
