/** Waits for the end of a pool's pause where it has to be looked for: no notice of it crosses threads and processes. */

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
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        signal.removeEventListener('abort', abort);
        this.#waiting.delete(end);
        if (this.#waiting.size > 0) return;
        clearInterval(this.#timer);
        this.#timer = undefined;
      };
      const end = (): void => {
        leave();
        resolve();
      };
      const abort = (): void => {
        leave();
        reject(signal.reason);
      };
      signal.addEventListener('abort', abort);
      this.#waiting.add(end);
      this.#timer ??= setInterval(() => this.#look(), POLL);
    });
  }

  #look(): void {
    if (this.#isOver()) for (const end of this.#waiting) end();
  }
}
