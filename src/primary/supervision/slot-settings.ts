/** What the slots of all of a supervisor's replicas say alike: how many windows are open, and when a queue is full. */

import type { ReplicaProcess } from '../replicas/replica-process.js';

export class SlotSettings {
  readonly #replicas: () => Iterable<ReplicaProcess>;
  /** Of the pools that have one, by pool. */
  readonly #maxQueueLengths = new Map<object, number>();
  #windows = 0;

  /** @param replicas all that have a process now. One that comes later is made with what is said here. */
  constructor(replicas: () => Iterable<ReplicaProcess>) {
    this.#replicas = replicas;
  }

  /** Open windows of all pools: while there is one, no server of a replica begins a request. */
  get windows(): number {
    return this.#windows;
  }

  /** A replica with as many unfinished messages accepts no connection. Of several pools' limits the lowest holds. */
  get maxQueueLength(): number {
    return Math.min(...this.#maxQueueLengths.values());
  }

  addWindow(): void {
    this.#setWindows(this.#windows + 1);
  }

  removeWindow(): void {
    this.#setWindows(this.#windows - 1);
  }

  limitQueues(pool: object, maxQueueLength: number): void {
    this.#maxQueueLengths.set(pool, maxQueueLength);
    this.#setMaxQueueLength();
  }

  /** That pool is closed. */
  unlimitQueues(pool: object): void {
    this.#maxQueueLengths.delete(pool);
    this.#setMaxQueueLength();
  }

  #setWindows(count: number): void {
    this.#windows = count;
    for (const replica of this.#replicas()) {
      replica.windows = count;
      if (count === 0) replica.post(['resumed']);
    }
  }

  #setMaxQueueLength(): void {
    const length = this.maxQueueLength;
    for (const replica of this.#replicas()) replica.maxQueueLength = length;
  }
}
