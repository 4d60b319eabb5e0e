/**
 * What each number of a supervisor has gone through: its counters over all its processes, its restarts, its last exit. The
 * slot of a process is cleared when it exits, so what it has counted is added up here.
 */

import { NOTHING, sum, type Totals } from '../replicas/totals.js';
import type { LastExit, RestartReason } from './supervisor-metrics.js';

/** A process. Its totals never go down, and stay what they were when it has ended. */
export interface Counting {
  readonly totals: Totals;
}

export class Tally {
  /** Of the processes that have ended. */
  #past = NOTHING;
  readonly #processes = new Set<Counting>();
  readonly #restarts: Record<RestartReason, number> = {
    crash: 0,
    exit: 0,
    signal: 0,
    hung: 0,
    startFailed: 0,
    recycle: 0,
    reload: 0,
    requested: 0,
  };
  lastExit: LastExit | undefined;

  begin(process: Counting): void {
    this.#processes.add(process);
  }

  /** It has ended, and its totals are its last. */
  end(process: Counting): void {
    if (this.#processes.delete(process)) this.#past = sum(this.#past, process.totals);
  }

  restarted(reason: RestartReason): void {
    this.#restarts[reason]++;
  }

  get restarts(): Record<RestartReason, number> {
    return { ...this.#restarts };
  }

  /** While a replica is being replaced, two processes count. */
  get totals(): Totals {
    let totals = this.#past;
    for (const process of this.#processes) totals = sum(totals, process.totals);
    return totals;
  }
}

/** By number. One that was taken away and comes back goes on where it was. */
export class Tallies {
  readonly #byIndex = new Map<number, Tally>();
  readonly #ofRunning = new Map<Counting, Tally>();

  of(index: number): Tally {
    const tally = this.#byIndex.get(index) ?? new Tally();
    this.#byIndex.set(index, tally);
    return tally;
  }

  begin(index: number, process: Counting): void {
    const tally = this.of(index);
    tally.begin(process);
    this.#ofRunning.set(process, tally);
  }

  end(process: Counting): void {
    this.#ofRunning.get(process)?.end(process);
    this.#ofRunning.delete(process);
  }

  /** Has each count looked at: those in shared memory wrap, which is seen where they are looked at in time. */
  look(): void {
    for (const process of this.#ofRunning.keys()) void process.totals;
  }
}
