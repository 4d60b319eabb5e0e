/**
 * What happens to a supervisor and its pools, a sentence each, for people who watch. The texts of errors are not among it: an
 * application may have put anything there.
 */

import { performance } from 'node:perf_hooks';
import type { Balancer } from '../primary/pools/balancer.js';
import type { BalancerEvents } from '../primary/pools/balancer-events.js';
import { whenRestarted } from '../primary/supervision/log-lines.js';
import type { Supervisor } from '../primary/supervision/supervisor.js';
import type { SupervisorEvents } from '../primary/supervision/supervisor-events.js';

export interface NewsItem {
  /** ms since the epoch; it never goes back. */
  readonly at: number;
  /** The name of the event. */
  readonly kind: string;
  /** The number of the replica that it is about. */
  readonly replica?: number;
  /** Whether a replica that has died was asked to go. */
  readonly expected?: boolean;
  /** The pool that it is about. */
  readonly pool?: string;
  readonly text: string;
}

/** How many are kept for a page that is opened later. */
const KEPT = 50;

type Told = Omit<NewsItem, 'at' | 'kind'>;

const ofSupervisor: { [Name in keyof SupervisorEvents]?: (...args: SupervisorEvents[Name]) => Told } = {
  up: ({ id, pid }) => ({ replica: id, text: `replica ${id} is up, pid ${pid}` }),
  down: (event) => {
    const { id, pid, code, signal, expected } = event;
    const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
    const next = whenRestarted(event) ?? 'no restart';
    return { replica: id, expected, text: `replica ${id} ${how}, pid ${pid}${expected ? '' : `; ${next}`}` };
  },
  forkFailed: ({ id }) => ({ replica: id, text: `replica ${id} could not be started: the system refused` }),
  blocked: ({ id, ms }) => ({ replica: id, text: `replica ${id} is blocked, for ${ms} ms so far` }),
  unblocked: ({ id, ms }) => ({ replica: id, text: `replica ${id} turns again, after ${ms} ms` }),
  hung: ({ id, ms }) => ({ replica: id, text: `replica ${id} hangs for ${ms} ms and is killed` }),
  recycle: ({ id, reason }) => ({ replica: id, text: `replica ${id} is being replaced: ${reason}` }),
  recycleFailed: () => ({ text: 'a replica could not be replaced, and stays' }),
  reloaded: () => ({ text: 'reload done: every replica has been replaced' }),
  reloadFailed: () => ({ text: 'reload failed: replicas that were not replaced yet go on' }),
  close: () => ({ text: 'closed: the last replica is gone' }),
};

const ofPool: { [Name in keyof BalancerEvents]?: (pool: string) => Told } = {
  pause: (pool) => ({ pool, text: `window of pool ${pool} has opened` }),
  resume: (pool) => ({ pool, text: `window of pool ${pool} has ended` }),
  disconnect: (pool) => ({ pool, text: `pool ${pool} has no replica` }),
  connect: (pool) => ({ pool, text: `pool ${pool} has a replica again` }),
  panic: (pool) => ({ pool, text: `pool ${pool}: all replicas are blocked` }),
  calm: (pool) => ({ pool, text: `pool ${pool}: not all replicas are blocked any more` }),
};

export class News {
  /** The last ones, oldest first. */
  readonly items: NewsItem[] = [];
  readonly #told: (item: NewsItem) => void;

  /** @param told is called with each item, in a turn of its own. */
  constructor(supervisor: Supervisor, told: (item: NewsItem) => void) {
    this.#told = told;
    for (const [kind, tell] of Object.entries(ofSupervisor))
      supervisor.on(kind as 'up', (...args) => this.#add(kind, (tell as (event: unknown) => Told)(args[0])));
  }

  follow(pool: Balancer): void {
    for (const [kind, tell] of Object.entries(ofPool))
      pool.on(kind as 'pause', () => this.#add(kind, tell(pool.name)));
  }

  #add(kind: string, told: Told): void {
    const item = { at: now(), kind, ...told };
    this.items.push(item);
    if (this.items.length > KEPT) this.items.shift();
    this.#told(item);
  }
}

/** ms since the epoch by a clock that nobody sets back. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
