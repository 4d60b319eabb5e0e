/** What a supervisor remembers for metrics(), and how it is put together with what can be seen now. */

import { performance } from 'node:perf_hooks';
import type { Counters } from '../replicas/replica-channel.js';
import { ReloadTimes } from './reload-times.js';
import { type Place, replicaMetrics } from './replica-metrics.js';
import type { PoolMetrics, SupervisorMetrics } from './supervisor-metrics.js';
import { Tallies } from './tally.js';

/** Counts of 32 bits have to be looked at once in 2^31 steps: no event loop makes as many in this time. */
const LOOK = 600_000; // ms

/** What there is now. */
export interface Present {
  readonly places: Iterable<Place>;
  readonly pools: Iterable<{ metrics(): PoolMetrics }>;
  readonly counters: Counters;
}

export class SupervisorRecord {
  readonly tallies = new Tallies();
  readonly reloads = new ReloadTimes();
  state: SupervisorMetrics['state'] = 'starting';
  readonly #name: string;
  readonly #since = performance.now();
  readonly #looking = setInterval(() => this.tallies.look(), LOOK).unref();

  constructor(name: string) {
    this.#name = name;
  }

  /** The last replica is gone. */
  closed(): void {
    clearInterval(this.#looking);
    if (this.state !== 'failed') this.state = 'closed';
  }

  snapshot({ places, pools, counters }: Present): SupervisorMetrics {
    return {
      name: this.#name,
      state: this.state,
      uptime: performance.now() - this.#since,
      replicas: replicaMetrics(places, this.tallies),
      pools: [...pools].map((pool) => pool.metrics()),
      reloads: this.reloads.snapshot(),
      late: counters.late,
      malformed: counters.malformed,
    };
  }
}
