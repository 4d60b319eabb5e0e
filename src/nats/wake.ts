/** Waits for a change, again and again. */

import { deferred } from '../deferred.js';

/** Something has changed: look again. */
export class Wake {
  #next = deferred();

  /** @param ms after which it resolves all the same. */
  async next(ms?: number): Promise<void> {
    const { promise } = this.#next;
    if (ms === undefined) return promise;
    const timer = setTimeout(() => this.wake(), ms);
    await promise;
    clearTimeout(timer);
  }

  wake(): void {
    this.#next.resolve();
    this.#next = deferred();
  }
}
