/** The pools of this primary, by name. */

import { noSuchPool } from '../../errors.js';
import type { Balancer } from './balancer.js';

/** Has the last pool at hand: most callers ask for the same again. */
class Pools {
  readonly #byName = new Map<string, Balancer>();
  #lastName: string | undefined;
  #last: Balancer | undefined;

  /** @throws BallermannError ERR_NO_SUCH_POOL. */
  get(name: string): Balancer {
    if (name === this.#lastName) return this.#last as Balancer;
    const balancer = this.#byName.get(name);
    if (balancer === undefined) throw noSuchPool(name);
    this.#lastName = name;
    this.#last = balancer;
    return balancer;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /**
   * A pool whose supervisor has ended says so to everybody who asks. It is closed when somebody wants its name, or its place
   * among the `places` that there are.
   */
  release(name: string, places: number): void {
    const isFull = this.#byName.size >= places;
    for (const balancer of [...this.#byName.values()])
      if (balancer.hasEnded && (isFull || balancer.name === name)) void balancer.close();
  }

  set(name: string, balancer: Balancer): void {
    this.#byName.set(name, balancer);
  }

  delete(name: string): void {
    this.#byName.delete(name);
    this.#lastName = undefined;
    this.#last = undefined;
  }

  values(): Iterable<Balancer> {
    return this.#byName.values();
  }
}

export const pools = new Pools();
