/**
 * What is exported of metrics(): names, help texts, labels, values. By Prometheus' conventions: seconds and bytes, `_total` at
 * the end of a counter, and no label that changes with every restart.
 */

import type {
  ExitReason,
  LatencyHistogram,
  PoolMetrics,
  ReplicaMetrics,
  SupervisorMetrics,
} from '../primary/metrics/supervisor-metrics.js';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  /** Besides `supervisor`, which all have. */
  readonly labels: readonly string[];
  /** What a supervisor adds to it. */
  samples(metrics: SupervisorMetrics): Sample[];
}

type Value = number | boolean | undefined;

/** One value a supervisor. */
function ofSupervisor(
  type: Family['type'],
  name: string,
  help: string,
  value: (metrics: SupervisorMetrics) => Value,
): Family {
  const samples = (metrics: SupervisorMetrics): Sample[] => sample({}, value(metrics));
  return { type, name: `ballermann_${name}`, help, labels: [], samples };
}

/** One value a replica. */
function ofReplica(
  type: Family['type'],
  name: string,
  help: string,
  value: (replica: ReplicaMetrics) => Value,
): Family {
  const samples = ({ replicas }: SupervisorMetrics): Sample[] =>
    replicas.flatMap((replica) => sample({ replica: String(replica.index) }, value(replica)));
  return { type, name: `ballermann_replica_${name}`, help, labels: ['replica'], samples };
}

/** One value a pool. */
function ofPool(
  type: Family['type'],
  name: string,
  help: string,
  value: (pool: PoolMetrics) => Value,
): Family {
  const samples = ({ pools }: SupervisorMetrics): Sample[] =>
    pools.flatMap((pool) => sample({ pool: pool.name }, value(pool)));
  return { type, name: `ballermann_pool_${name}`, help, labels: ['pool'], samples };
}

/** None where there is no value yet. */
function sample(labels: Labels, value: Value): Sample[] {
  return value === undefined ? [] : [{ labels, value: Number(value) }];
}

const seconds = (ms: number | undefined): number | undefined => ms && ms / 1000;

const STATES = ['starting', 'up', 'stopping', 'restarting'] as const;

const replicasByState: Family = {
  type: 'gauge',
  name: 'ballermann_replicas',
  help: 'Replicas of the supervisor, by state.',
  labels: ['state'],
  samples: ({ replicas }) =>
    STATES.flatMap((state) =>
      sample({ state }, replicas.filter((replica) => replica.state === state).length),
    ),
};

const reloads: Family = {
  type: 'counter',
  name: 'ballermann_reloads_total',
  help: 'Reloads that have ended, by result.',
  labels: ['result'],
  samples: ({ reloads: { succeeded, failed } }) => [
    ...sample({ result: 'succeeded' }, succeeded),
    ...sample({ result: 'failed' }, failed),
  ],
};

const restarts: Family = {
  type: 'counter',
  name: 'ballermann_replica_restarts_total',
  help: 'New processes in the place of another, by why the one before them went.',
  labels: ['replica', 'reason'],
  samples: ({ replicas }) =>
    replicas.flatMap(({ index, restarts: byReason }) =>
      Object.entries(byReason).flatMap(([reason, count]) =>
        sample({ replica: String(index), reason }, count),
      ),
    ),
};

const lastExits: Family = {
  type: 'gauge',
  name: 'ballermann_replica_last_exit_timestamp_seconds',
  help: 'When the last process of the replica ended, in seconds since the epoch, and why.',
  labels: ['replica', 'reason'],
  samples: ({ replicas }) =>
    replicas.flatMap(({ index, lastExit }) => {
      const reason: ExitReason | undefined = lastExit?.reason;
      return reason === undefined ? [] : sample({ replica: String(index), reason }, seconds(lastExit?.at));
    }),
};

export const families: readonly Family[] = [
  ofSupervisor('gauge', 'supervisor_uptime_seconds', 'Time since supervise() was called.', (s) =>
    seconds(s.uptime),
  ),
  ofSupervisor(
    'gauge',
    'supervisor_running',
    '1 while the supervisor is running; 0 while it starts or closes, and when it has given up.',
    (s) => s.state === 'running',
  ),
  replicasByState,
  reloads,
  ofSupervisor('gauge', 'reload_running', '1 while a reload is under way.', (s) => s.reloads.running),
  ofSupervisor('gauge', 'last_reload_duration_seconds', 'How long the last reload took.', (s) =>
    seconds(s.reloads.lastDuration),
  ),
  ofSupervisor(
    'counter',
    'late_replies_total',
    'Replies that came after their caller had stopped waiting.',
    (s) => s.late,
  ),
  ofSupervisor(
    'counter',
    'malformed_messages_total',
    'Messages from replicas that did not fit the protocol.',
    (s) => s.malformed,
  ),

  ofReplica(
    'gauge',
    'up',
    '1 while the replica is ready; 0 while it starts, stops or waits for a restart.',
    (r) => r.state === 'up',
  ),
  ofReplica('gauge', 'blocked', '1 while the event loop of the replica does not turn.', (r) => r.blocked),
  ofReplica('gauge', 'uptime_seconds', 'Time since the replica got ready.', (r) => seconds(r.uptime)),
  restarts,
  lastExits,
  ofReplica('gauge', 'resident_memory_bytes', 'Resident memory of the process.', (r) => r.rss),
  ofReplica(
    'gauge',
    'event_loop_utilization_ratio',
    'Part of the last seconds in which the event loop did not wait for work.',
    (r) => r.eventLoopUtilization,
  ),
  ofReplica(
    'counter',
    'event_loop_busy_seconds_total',
    'Time in which the event loop did not wait for work. Its rate is the utilization.',
    (r) => seconds(r.busyTime),
  ),
  ofReplica(
    'gauge',
    'unfinished_messages',
    'Messages that the replica was sent and has not finished.',
    (r) => r.unfinished,
  ),
  ofReplica(
    'counter',
    'messages_total',
    'Calls and casts that the replica has taken out of its mailbox.',
    (r) => r.taken,
  ),
  ofReplica(
    'gauge',
    'running_requests',
    'Requests that the servers of the replica are running.',
    (r) => r.running,
  ),
  ofReplica(
    'counter',
    'requests_total',
    'Requests that the servers of the replica have begun.',
    (r) => r.requests,
  ),
  ofReplica(
    'counter',
    'accepted_connections_total',
    'Connections that have come to servers of the replica.',
    (r) => r.accepted,
  ),

  ofPool('gauge', 'alive_replicas', 'Replicas in the pool, in rotation or blocked.', (p) => p.alive),
  ofPool('gauge', 'original_replicas', 'Replicas in the pool after its last refresh.', (p) => p.original),
  ofPool('counter', 'sent_messages_total', 'Calls and casts that were sent to a replica.', (p) => p.sent),
  ofPool(
    'counter',
    'redirected_messages_total',
    'Calls and casts that went to another replica because the first one had died.',
    (p) => p.redirected,
  ),
  ofPool(
    'gauge',
    'held_messages',
    'Calls and casts that wait for a window to end or for a replica.',
    (p) => p.held,
  ),
  ofPool(
    'counter',
    'lost_casts_total',
    'Casts that were lost because the pool was closed, empty or full.',
    (p) => p.lostCasts,
  ),
  ofPool(
    'gauge',
    'running_transactions',
    'Transactions that are running, in all processes.',
    (p) => p.transactions,
  ),
  ofPool(
    'counter',
    'hand_outs_total',
    'Pids that were handed out, in all processes, counted by block.',
    (p) => p.handOuts,
  ),
  ofPool('counter', 'windows_total', 'Maintenance windows that have opened.', (p) => p.windows.count),
  ofPool('gauge', 'paused', '1 while a window is open.', (p) => p.windows.open),
  ofPool('counter', 'paused_seconds_total', 'Time in which a window was open.', (p) =>
    seconds(p.windows.totalDuration),
  ),
  ofPool('gauge', 'last_window_duration_seconds', 'How long the last window was open.', (p) =>
    seconds(p.windows.lastDuration),
  ),
];

export const callDuration = {
  name: 'ballermann_pool_call_duration_seconds',
  help: 'How long calls took that got a reply.',
  labels: ['pool'],
} as const;

/** A line of a histogram. */
export interface HistogramSample extends Sample {
  readonly metricName: string;
}

/** Prometheus keeps a series for each bucket, so it gets 22 of 127: 1, 2.5 and 5 of each decade, in seconds. */
export function callDurationSamples({ pools }: SupervisorMetrics): HistogramSample[] {
  return pools.flatMap(({ name, latency }) => histogramSamples({ pool: name }, latency));
}

function histogramSamples(labels: Labels, { count, sum, buckets }: LatencyHistogram): HistogramSample[] {
  const { name } = callDuration;
  return [
    ...buckets
      .filter(({ le }) => isExported(le))
      .map(({ le, count: below }) => ({
        metricName: `${name}_bucket`,
        labels: { ...labels, le: String(le / 1000) },
        value: below,
      })),
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: sum / 1000 },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

const EXPORTED = ['1', '2.5', '5'];

/** @param le ms. By its digits, whatever the decade. */
function isExported(le: number): boolean {
  return EXPORTED.includes(le.toExponential().split('e')[0] as string);
}
