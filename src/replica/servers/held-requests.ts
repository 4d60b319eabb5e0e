/** The requests that wait for the end of a window: in order, so many at most, none for longer than it may. */

import { AsyncResource } from 'node:async_hooks';
import type { Server } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type Arrival, carrierOf, isGone, isUpgrade } from './arrivals.js';

export class HeldRequest extends AsyncResource {
  readonly server: Server;
  readonly arrival: Arrival;
  /** When it came (ms). */
  readonly since = performance.now();

  constructor(server: Server, arrival: Arrival) {
    super('BallermannHeldRequest'); // it goes on in the asynchronous context in which it came
    this.server = server;
    this.arrival = arrival;
  }
}

export interface HoldLimits {
  /** Requests that a replica holds. */
  readonly maxHeldRequests: number;
  /** ms that one is held. */
  readonly maxHoldTime: number;
}

export class HeldRequests {
  readonly #limits: HoldLimits;
  readonly #refuse: (held: HeldRequest) => void;
  readonly #waiting = new Set<HeldRequest>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param refuse is given those that were held for too long. */
  constructor(limits: HoldLimits, refuse: (held: HeldRequest) => void) {
    this.#limits = limits;
    this.#refuse = refuse;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** False where there is no room. */
  add(server: Server, arrival: Arrival): boolean {
    if (this.#closed || this.#waiting.size >= this.#limits.maxHeldRequests) return false;
    const held = new HeldRequest(server, arrival);
    this.#waiting.add(held);
    this.#watch(held);
    if (this.#timer === undefined) this.#expireLater(this.#limits.maxHoldTime);
    return true;
  }

  /** The first, which is held no longer; undefined where there is none whose client is still there. */
  take(): HeldRequest | undefined {
    for (const held of this.#waiting) {
      this.#waiting.delete(held);
      if (!isGone(held.arrival)) return held;
    }
    return undefined;
  }

  /** Refuses those that wait and takes no more. */
  close(): void {
    this.#closed = true;
    this.#refuseUntil(Number.POSITIVE_INFINITY);
  }

  /** A client that goes is forgotten. */
  #watch(held: HeldRequest): void {
    const { arrival } = held;
    const carrier = carrierOf(arrival);
    carrier.once('close', () => this.#waiting.delete(held));
    // Node has taken its own listener off the socket, and the server's handler has not put one on it yet.
    if (isUpgrade(arrival[0])) carrier.on('error', ignore);
  }

  #expireLater(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#refuseUntil(performance.now() - this.#limits.maxHoldTime);
      for (const { since } of this.#waiting) {
        this.#expireLater(Math.max(1, since + this.#limits.maxHoldTime - performance.now()));
        break;
      }
    }, ms);
  }

  /** Refuses those that came by then. */
  #refuseUntil(time: number): void {
    for (const held of this.#waiting) {
      if (held.since > time) break;
      this.#waiting.delete(held);
      if (!isGone(held.arrival)) this.#refuse(held);
    }
  }
}

function ignore(): void {}
