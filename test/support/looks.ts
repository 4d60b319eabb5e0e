/** Looks at metrics() again and again, and sees to it that no counter goes down. */

import type { Supervisor, SupervisorMetrics } from 'ballermann';
import * as assert from 'uvu/assert';

/** All that may only grow, by path. */
function countersOf(metrics: SupervisorMetrics): Map<string, number> {
  const counters = new Map<string, number>([
    ['late', metrics.late],
    ['malformed', metrics.malformed],
    ['reloads', metrics.reloads.succeeded + metrics.reloads.failed],
  ]);
  for (const { index, taken, requests, accepted, busyTime, restarts } of metrics.replicas) {
    for (const [name, value] of Object.entries({ taken, requests, accepted, busyTime, ...restarts }))
      counters.set(`replica ${index} ${name}`, value);
  }
  for (const pool of metrics.pools) {
    const { sent, redirected, lostCasts, handOuts, windows, latency } = pool;
    const values = {
      sent,
      redirected,
      lostCasts,
      handOuts,
      windows: windows.count,
      paused: windows.totalDuration,
    };
    for (const [name, value] of Object.entries({ ...values, calls: latency.count, sum: latency.sum }))
      counters.set(`pool ${pool.name} ${name}`, value);
    for (const { le, count } of latency.buckets) counters.set(`pool ${pool.name} ${le}`, count);
  }
  return counters;
}

/** Sees to it, at each look, that no counter has gone down since the last one. */
export class Looks {
  readonly #supervisor: Supervisor;
  readonly #seen = new Map<string, number>();

  constructor(supervisor: Supervisor) {
    this.#supervisor = supervisor;
    for (const name of ['up', 'down', 'reloaded', 'close'] as const) supervisor.on(name, () => this.look());
  }

  look(): SupervisorMetrics {
    const metrics = this.#supervisor.metrics();
    for (const [name, value] of countersOf(metrics)) {
      const before = this.#seen.get(name) ?? 0;
      assert.ok(Number.isFinite(value) && value >= before, `${name}: ${value} after ${before}`);
      this.#seen.set(name, value);
    }
    return metrics;
  }
}
