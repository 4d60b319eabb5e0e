/** The metrics of a supervisor, until it has them itself. */

import type { SupervisorMetrics } from '../primary/metrics/supervisor-metrics.js';
import { pools } from '../primary/pools/pools.js';
import type { Supervisor } from '../primary/supervision/supervisor.js';

export function snapshot(supervisor: Supervisor): SupervisorMetrics {
  const metrics = (supervisor as unknown as { metrics?(): SupervisorMetrics }).metrics;
  if (metrics !== undefined) return metrics.call(supervisor);
  const own = [...pools.values()].filter((pool) => pool.isOver(supervisor));
  return {
    name: supervisor.name,
    state: 'running',
    uptime: process.uptime() * 1000,
    replicas: supervisor.children().map(({ id, ...info }) => ({
      ...info,
      index: id,
      blocked: false,
      uptime: 0,
      restarts: {} as never,
      lastExit: undefined,
      rss: undefined,
      eventLoopUtilization: 0,
      unfinished: 0,
      taken: 0,
      running: 0,
      requests: 0,
      accepted: 0,
    })),
    pools: own.map((pool) => {
      const { replicas: _, outside: __, late: ___, malformed: ____, ...stats } = pool.stats();
      return {
        ...stats,
        handOuts: 0,
        windows: { count: 0, open: stats.paused, totalDuration: 0, lastDuration: undefined },
        latency: { count: 0, sum: 0, buckets: [] },
      };
    }),
    reloads: { succeeded: 0, failed: 0, running: false, lastDuration: undefined },
    late: supervisor.counters.late,
    malformed: supervisor.counters.malformed,
  };
}
