/**
 * The maintenance windows of one pool: one after another, in call order, each ended whatever happens in it. Knows
 * when to open and close; what that means for the pool is the pool's.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted, withDeadline } from '../../aborts.js';
import { deferred } from '../../deferred.js';
import { BallermannError } from '../../errors.js';

export interface WindowOptions {
  /** When it aborts, the window ends, or leaves the queue, and rejects with its reason. */
  signal?: AbortSignal;
  /** ms after which the window ends with ERR_TIMEOUT. The time that it waits for its turn counts. @default no limit */
  timeout?: number;
}

/** What the function of a window is given. */
export interface WindowContext {
  /** Aborts when the window ends before the function does, by its own signal or its time limit. */
  readonly signal: AbortSignal;
}

/** What a window closes as it begins, and opens as it ends. */
export interface Door {
  open(): void;
  close(): void;
}

/**
 * ms between two windows in a row: for what waits meanwhile. Transactions in threads and other processes look for
 * the end of a window every 2 ms.
 */
const BETWEEN = 5;

/** One window that is or was open. */
interface Window {
  readonly of: Windows;
  open: boolean;
}

/** The windows that the current asynchronous context was started in. */
const inside = new AsyncLocalStorage<readonly Window[]>();

/** Open windows of the whole process: the storage slows every promise on some Nodes, so it is off when unused. */
let openWindows = 0;

export class Windows {
  readonly #name: string;
  readonly #door: Door;
  /** Ends with the last window of the queue; undefined where there is none. */
  #last: Promise<void> | undefined;
  #closed: BallermannError | undefined;
  readonly #waiting = new Set<AbortController>();

  /** @param door is closed as a window begins and opened as it ends. */
  constructor(name: string, door: Door) {
    this.#name = name;
    this.#door = door;
  }

  /** Runs `wait`, then `fn`, with the door closed. */
  async run<T>(
    wait: (ended: AbortSignal) => Promise<unknown>,
    fn: (context: WindowContext) => T | PromiseLike<T>,
    options: WindowOptions,
  ): Promise<T> {
    this.refuseInside('another window');
    if (this.#closed) throw this.#closed;
    let delay = 'another window of the pool was still open';
    const waiting = (signal: AbortSignal): Promise<unknown> => {
      delay = 'its wait was not over';
      return wait(signal);
    };
    const running = (context: WindowContext): T | PromiseLike<T> => {
      delay = 'its function had not finished';
      return fn(context);
    };
    return withDeadline(
      options,
      () => this.#timedOut(options.timeout as number, delay),
      (ended) => this.#inTurn(ended, () => this.#window(ended.signal, waiting, running)),
    );
  }

  /**
   * For what waits until no window is open: from inside one, it would wait for what may be waiting for it.
   * @param what is begun, for the error.
   * @throws BallermannError ERR_PAUSED inside a window of this pool that is open.
   */
  refuseInside(what: string): void {
    if (openWindows === 0 || !inside.getStore()?.some((window) => window.open && window.of === this)) return;
    throw new BallermannError(
      'ERR_PAUSED',
      `${what} on pool '${this.#name}' from inside its own window would wait for itself: ` +
        'call a pid inside the window, or do it after the window',
    );
  }

  /** Refuses further windows, those that wait for their turn included. One that is open goes on to its end. */
  close(reason: BallermannError): void {
    this.#closed = reason;
    for (const ended of this.#waiting) ended.abort(reason);
  }

  /** Starts `task` at once where no window is open or waits: the door is closed then when applyWithin returns. */
  async #inTurn<T>(ended: AbortController, task: () => Promise<T>): Promise<T> {
    const before = this.#last;
    const finished = deferred();
    const last = before === undefined ? finished.promise : before.then(() => finished.promise);
    const forget = (): void => {
      if (this.#last === last) this.#last = undefined;
    };
    let isWaiting = before !== undefined;
    this.#last = last;
    this.#waiting.add(ended);
    try {
      if (before !== undefined)
        await unlessAborted(
          ended.signal,
          before.then(() => sleep(BETWEEN)),
        );
      isWaiting = false;
      this.#waiting.delete(ended);
      return await task();
    } finally {
      this.#waiting.delete(ended);
      finished.resolve();
      // One that was given up before its turn: the window before it is still open.
      if (isWaiting) void last.then(forget);
      else forget();
    }
  }

  async #window<T>(
    ended: AbortSignal,
    wait: (ended: AbortSignal) => Promise<unknown>,
    fn: (context: WindowContext) => T | PromiseLike<T>,
  ): Promise<T> {
    const window: Window = { of: this, open: true };
    openWindows++;
    this.#door.close();
    try {
      const within = [...(inside.getStore() ?? []), window];
      await unlessAborted(
        ended,
        inside.run(within, async () => wait(ended)),
      );
      ended.throwIfAborted();
      return await unlessAborted(
        ended,
        inside.run(within, async () => fn({ signal: ended })),
      );
    } finally {
      window.open = false;
      this.#door.open();
      if (--openWindows === 0) inside.disable();
    }
  }

  #timedOut(timeout: number, delay: string): BallermannError {
    return new BallermannError(
      'ERR_TIMEOUT',
      `the window of pool '${this.#name}' did not end within ${timeout} ms: ${delay}`,
    );
  }
}
