/**
 * Which replicas may start now, of all that are to: so many at a time. If all started at once they would share the cores, and
 * none might be ready within `readyTimeout`, which counts from the moment in which a replica's turn has come.
 */

import type { Child } from './child.js';

export class StartQueue {
  readonly #atATime: number;
  readonly #starting = new Set<Child>();
  /** In the order in which they asked. */
  readonly #waiting = new Map<Child, () => void>();

  /** @param atATime 1 or more. */
  constructor(atATime: number) {
    this.#atATime = atATime;
  }

  /** Calls `start` in the child's turn: at once where nobody has to be waited for. `left` must follow. */
  enter(child: Child, start: () => void): void {
    this.#waiting.set(child, start);
    this.#next();
  }

  /** They are ready, or their starts have failed, or they are to start no more. Idempotent. */
  left(...children: Child[]): void {
    for (const child of children) {
      this.#waiting.delete(child);
      this.#starting.delete(child);
    }
    this.#next();
  }

  #next(): void {
    while (this.#starting.size < this.#atATime) {
      // Those first whom somebody misses.
      const waiting = [...this.#waiting];
      const next = waiting.find(([{ hasBeenUp }]) => hasBeenUp) ?? waiting[0];
      if (next === undefined) return;
      const [child, start] = next;
      this.#waiting.delete(child);
      this.#starting.add(child);
      start();
    }
  }
}
