/** Waits for the end of a pool's pause where it has to be looked for: no notice of it crosses threads and processes. */

import { unlessAborted } from '../aborts.js';
import { deferred } from '../deferred.js';

/** How often it is looked for. */
const POLL = 2; // ms

export class Pause {
  readonly #isOver: () => boolean;
  readonly #waiting = new Set<() => void>();
  /** One for all that wait: thousands may. */
  #timer: NodeJS.Timeout | undefined;

  constructor(isOver: () => boolean) {
    this.#isOver = isOver;
  }

  /** Resolves when the pause may be over. Rejects with the signal's reason. */
  async ended(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve } = deferred();
    this.#waiting.add(resolve);
    this.#timer ??= setInterval(() => this.#look(), POLL);
    try {
      await unlessAborted(signal, promise);
    } finally {
      this.#waiting.delete(resolve);
      if (this.#waiting.size === 0) this.#stopLooking();
    }
  }

  #look(): void {
    if (this.#isOver()) for (const resolve of this.#waiting) resolve();
  }

  #stopLooking(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
