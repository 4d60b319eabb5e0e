/**
 * The member's side of a window over the fleet: holds the local pool closed while one is open, and acknowledges once nothing
 * that goes through the pool is running there.
 *
 * A coordinator cannot miss a member that works. It takes the key, and then reads who is there; a member stores its first
 * heartbeat, and then reads the key. Both buckets are read where they are written, so at least one sees the other: the
 * coordinator waits for the member, or the member is closed from its start. The same holds for one that had lapsed (its
 * process was suspended, or the server out of reach): it refuses calls until it has stored a heartbeat and read the key
 * again. Where a window ends because its renewals are not heard, the pool is left to itself, but calls of the fleet are refused
 * until the key has been read: the window may go on.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { onAbort } from '../aborts.js';
import { MAX_TIMER } from '../arguments.js';
import { primary } from '../local/primary.js';
import type { Balancer } from '../primary/pools/balancer.js';
import { FleetBucket, unreachable } from './buckets.js';
import { publish } from './connection.js';
import { acknowledgementSubject, WINDOWS } from './keys.js';
import type { Presence } from './presence.js';
import { LEASE, type OpenWindow, WindowNews } from './window-news.js';

export interface WindowFollower {
  /**
   * Whether calls of the fleet must not be begun now: a window over the fleet is open, or one may be (the member is not
   * current, or the renewals are missing, or it has not looked again since). Ask it at each call: it looks at the clock.
   */
  readonly isOpen: boolean;
  /** Follows no further windows. Resolves when the one that is open has ended. */
  leave(): Promise<void>;
}

/** What a member says when nothing runs in it any more. */
export interface Acknowledgement {
  readonly member: string;
  /** The window's id. */
  readonly id: string;
}

/** ms between two attempts at what failed. */
const AGAIN = 100;

/**
 * Resolves once it knows whether a window is open, and the pool is paused if so.
 * @param presence announced before: see above for the order.
 * @throws BallermannError ERR_DISCONNECTED.
 */
export async function followWindows(
  nc: NatsConnection,
  balancer: Balancer,
  presence: Presence,
): Promise<WindowFollower> {
  const bucket = await FleetBucket.open(nc, WINDOWS, LEASE);
  const { returns } = presence;
  const news = await WindowNews.follow(nc, bucket, balancer.name).catch((cause) => {
    throw unreachable(`whether a window of pool '${balancer.name}' is open is not known`, cause);
  });
  return new Follower(nc, balancer, presence, news, returns);
}

/** The local pool, closed for one window of the fleet. */
interface Hold {
  readonly id: string;
  /** Those that it is held for: several where the pool has joined by several connections. */
  readonly followers: Set<Follower>;
  readonly ended: AbortController;
  /** Whether nothing runs that goes through the pool. */
  quiet: boolean;
  /** Resolves when the pool is left to itself again. */
  over: Promise<void>;
}

/** By the window's id: a second hold for the same window would wait for the end of the first. */
const holds = new WeakMap<Balancer, Map<string, Hold>>();

class Follower implements WindowFollower {
  readonly #nc: NatsConnection;
  readonly #balancer: Balancer;
  readonly #presence: Presence;
  readonly #news: WindowNews;
  readonly #offReturn: () => void;
  /** How many windows have ended by this member's own clock. */
  #lapses = 0;
  /** `#doubts` when the key was read last. */
  #lookedAfter: number;
  #looking = false;
  #hold: Hold | undefined;
  #leaving = false;

  constructor(
    nc: NatsConnection,
    balancer: Balancer,
    presence: Presence,
    news: WindowNews,
    lookedAfter: number,
  ) {
    this.#nc = nc;
    this.#balancer = balancer;
    this.#presence = presence;
    this.#news = news;
    this.#lookedAfter = lookedAfter;
    news.on({
      changed: (window) => this.#change(window),
      renewed: () => this.#acknowledge(),
      lapsed: () => {
        this.#lapses++;
        void this.#lookAgain();
      },
    });
    this.#offReturn = presence.onReturn(() => void this.#lookAgain());
    if (this.#doubts !== lookedAfter) void this.#lookAgain();
    if (news.current !== undefined) this.#change(news.current);
  }

  get isOpen(): boolean {
    return (
      this.#news.current !== undefined || !this.#presence.isCurrent || this.#doubts !== this.#lookedAfter
    );
  }

  /** How often a window may have been open, or have gone on, that this member has not heard of. */
  get #doubts(): number {
    return this.#presence.returns + this.#lapses;
  }

  async leave(): Promise<void> {
    this.#leaving = true;
    this.#offReturn();
    await this.#hold?.over;
    this.#news.close();
  }

  #change(window: OpenWindow | undefined): void {
    const before = this.#hold;
    this.#hold = undefined;
    if (window !== undefined && !this.#leaving) this.#hold = this.#close(window.id);
    if (before !== undefined) this.#release(before); // last, so that the new window is the next in the queue of the pool
    this.#acknowledge();
  }

  #close(id: string): Hold {
    const known = holds.get(this.#balancer) ?? new Map<string, Hold>();
    holds.set(this.#balancer, known);
    let hold = known.get(id);
    if (hold === undefined) {
      hold = {
        id,
        followers: new Set(),
        ended: new AbortController(),
        quiet: false,
        over: Promise.resolve(),
      };
      known.set(id, hold);
      hold.over = this.#keepClosed(hold);
    }
    hold.followers.add(this);
    return hold;
  }

  #release({ id, followers, ended }: Hold): void {
    followers.delete(this);
    if (followers.size > 0) return;
    holds.get(this.#balancer)?.delete(id);
    ended.abort();
  }

  /**
   * For as long as the window is open, whatever fails meanwhile: a wait that failed is begun again, and acknowledged only
   * once it has succeeded.
   */
  async #keepClosed(hold: Hold): Promise<void> {
    const { signal } = hold.ended;
    while (!signal.aborted) {
      await this.#balancer
        .applyWithin(
          async () => {
            hold.quiet = true;
            for (const follower of hold.followers) follower.#acknowledge();
            await new Promise<void>((resolve) => onAbort(signal, resolve));
          },
          (pid) => primary.ping(pid, { timeout: MAX_TIMER, signal }), // how long is the coordinator's to say
          { signal },
        )
        .catch(() => {});
      hold.quiet = false;
      if (!signal.aborted) await sleep(AGAIN, undefined, { signal }).catch(() => {});
    }
  }

  /** Each time that the window is renewed, so that none is lost for good. */
  #acknowledge(): void {
    if (this.#hold?.quiet !== true) return;
    const acknowledgement: Acknowledgement = { member: this.#presence.id, id: this.#hold.id };
    publish(this.#nc, acknowledgementSubject(this.#balancer.name), JSON.stringify(acknowledgement));
  }

  async #lookAgain(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    while (this.#doubts !== this.#lookedAfter && !this.#leaving) {
      const doubts = this.#doubts;
      try {
        await this.#news.look();
        this.#lookedAfter = doubts;
      } catch {
        await sleep(AGAIN);
      }
    }
    this.#looking = false;
  }
}
