/** Calls at a steady rate, whatever the answers do, and how long each took. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Balancer } from 'ballermann';
import { quantile } from '../support/figures.js';
import type { Latencies } from './http.js';

/** ms that a handler runs. */
const WORK = 2;

export class SteadyCalls {
  answered = 0;
  failed = 0;
  readonly #pool: Balancer;
  readonly #rate: number;
  readonly #underWay = new Set<Promise<void>>();
  #took: number[] = [];
  #calling: Promise<void> = Promise.resolve();
  #isOver = true;

  /** @param rate calls a second. */
  constructor(pool: Balancer, rate: number) {
    this.#pool = pool;
    this.#rate = rate;
  }

  begin(): void {
    this.#isOver = false;
    this.#calling = this.#callOnAndOn();
  }

  /** Begins no more; resolves when all are answered. */
  async pause(): Promise<void> {
    this.#isOver = true;
    await this.#calling;
    await Promise.all(this.#underWay);
  }

  /** Of the calls since the last time. */
  latencies(): Latencies {
    const taken = this.#took;
    this.#took = [];
    return { count: taken.length, p50: quantile(taken, 0.5), p99: quantile(taken, 0.99) };
  }

  /** A late turn of the event loop begins all that were due, and each is timed from when it was due. */
  async #callOnAndOn(): Promise<void> {
    for (let due = performance.now(); !this.#isOver; due += 1_000 / this.#rate) {
      if (due > performance.now()) await sleep(due - performance.now());
      const call: Promise<void> = this.#call(due).finally(() => this.#underWay.delete(call));
      this.#underWay.add(call);
    }
  }

  async #call(due: number): Promise<void> {
    try {
      await this.#pool.call({ id: this.answered, ms: WORK });
      this.answered++;
      this.#took.push(performance.now() - due);
    } catch {
      this.failed++;
    }
  }
}
