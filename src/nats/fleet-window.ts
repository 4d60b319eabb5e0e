/**
 * The coordinator's side of a window over the fleet: takes the key of the pool, waits until every member that is there has
 * acknowledged, runs the function, and gives the key up.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { unlessAborted, withDeadline } from '../aborts.js';
import { checkFunction, checkMilliseconds, checkOptions, checkSignal } from '../arguments.js';
import { BallermannError } from '../errors.js';
import { type WindowContext, type WindowOptions, Windows } from '../primary/pools/windows.js';
import { Acknowledgements } from './acknowledgements.js';
import { keySubject, within } from './buckets.js';
import { checkConnection, isConnected, onForbidden } from './connection.js';
import type { Fleet } from './fleet-members.js';
import { poolToken, WINDOWS, windowSubject } from './keys.js';
import { NO_ANSWER, WindowKey } from './window-key.js';
import { LEASE } from './window-news.js';

/** What the function of a window over the fleet is given. */
export interface FleetWindowContext extends WindowContext {
  /**
   * Grows with each window of the pool: a store that refuses a smaller one than it has seen is safe from a function that
   * goes on after its window was lost.
   */
  readonly token: number;
}

export interface FleetWindowsOptions {
  /** ms after which a window is over whose coordinator has died or cannot reach the server. @default 10,000 */
  readonly lease?: number | undefined;
}

/** ms between two attempts at what failed. */
const AGAIN = 50;
/** ms that the end of a window waits for the key to be deleted. The members know of the end before. */
const GIVING_UP = 2_000;

export class FleetWindows {
  readonly #nc: NatsConnection;
  readonly #pool: string;
  readonly #fleet: Fleet;
  readonly #lease: number;
  /** Those that this process opens: in call order, and none from inside another. */
  readonly #own: Windows;
  readonly #endings = new Set<AbortController>();

  constructor(nc: NatsConnection, pool: string, fleet: Fleet, { lease = LEASE }: FleetWindowsOptions = {}) {
    this.#nc = nc;
    this.#pool = pool;
    this.#fleet = fleet;
    this.#lease = lease;
    this.#own = new Windows(pool, { open: () => {}, close: () => {} });
  }

  /** For what waits until no window is open. @throws BallermannError ERR_PAUSED inside a window of this pool. */
  refuseInside(what: string): void {
    this.#own.refuseInside(what);
  }

  /**
   * Runs `fn` while no member of the fleet does anything that goes through the pool.
   * @param wait ms between the last acknowledgement and `fn`.
   * @returns what `fn` returned.
   * @throws what `fn` threw. BallermannError: ERR_TIMEOUT, which names who had not acknowledged; ERR_DISCONNECTED if the
   * lease was lost, the connection is closed, or the server has no JetStream or does not let this client do it; ERR_PAUSED
   * from inside a window of this pool. The signal's reason.
   */
  async applyWithin<T>(
    fn: (context: FleetWindowContext) => T | PromiseLike<T>,
    wait = 0,
    options: WindowOptions = {},
  ): Promise<T> {
    checkFunction('fn', fn);
    checkMilliseconds('wait', wait);
    checkOptions('options', options, ['signal', 'timeout']);
    checkSignal('options.signal', options.signal);
    if (options.timeout !== undefined) checkMilliseconds('options.timeout', options.timeout);
    options.signal?.throwIfAborted();
    this.refuseInside('another window');
    checkConnection(this.#nc);
    let state = (): string => 'another window of the pool was still open';
    const late = (): Error =>
      new BallermannError(
        'ERR_TIMEOUT',
        `the window of pool '${this.#pool}' over the fleet did not end within ${options.timeout} ms: ${state()}`,
      );
    return withDeadline(options, late, async (ending) => {
      const { signal } = ending;
      this.#endings.add(ending);
      const needed = [windowSubject(this.#pool), keySubject(WINDOWS, poolToken(this.#pool))];
      const off = onForbidden(this.#nc, (subject, error) => {
        if (needed.includes(subject)) ending.abort(error);
      });
      const acknowledgements = new Acknowledgements(this.#nc, this.#pool, this.#fleet, (error) =>
        ending.abort(error),
      );
      let key: WindowKey | undefined;
      const open = async (): Promise<void> => {
        const waitsFor = (what: string): void => {
          state = () => what;
        };
        waitsFor(NO_ANSWER);
        await this.#fleet.known(signal);
        key = new WindowKey(this.#nc, this.#fleet.windows, this.#pool, this.#lease, (error) =>
          ending.abort(error),
        );
        await key.acquire(signal, waitsFor);
        acknowledgements.of(key.id);
        key.announce();
        state = () => acknowledgements.missing();
        await this.#listed(signal);
        do {
          await unlessAborted(signal, acknowledgements.complete());
          await this.#listed(signal); // if it was cut off, it has let members lapse that are there
        } while (!acknowledgements.isComplete);
        state = () => 'its wait was not over';
        if (wait > 0) await sleep(wait, undefined, { signal });
        state = () => 'its function had not finished';
        key.check();
      };
      try {
        return await this.#own.run(open, () => fn({ signal, token: (key as WindowKey).token }), { signal });
      } finally {
        this.#endings.delete(ending);
        off();
        acknowledgements.close();
        const givenUp = (key as WindowKey | undefined)?.giveUp();
        if (isConnected(this.#nc)) await within(givenUp ?? Promise.resolve(), GIVING_UP).catch(() => {});
      }
    });
  }

  /** Ends all windows, those that are open and those that wait for their turn, and refuses further ones. */
  close(reason: BallermannError): void {
    this.#own.close(reason);
    for (const ending of this.#endings) ending.abort(reason);
  }

  /** Once this has read who is there, whoever is not listed comes later, and finds the key (see member-window.ts). */
  async #listed(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await this.#fleet.list();
      } catch {
        await sleep(AGAIN, undefined, { signal });
      }
    }
  }
}
