/** What `stats()` of a pool shows. */

import type { PoolFigures } from '../metrics/supervisor-metrics.js';

/** What `stats()` of a pool returns: a snapshot. */
export interface BalancerStats extends PoolFigures {
  /**
   * Pids of the supervisor's replicas that are up and not in the pool. Replacements of dead replicas wait here until alive /
   * original is below `minAliveRatio`. A refresh, a reload or a resize takes them in.
   */
  readonly outside: readonly number[];
  /** Replies that came after their caller had stopped waiting. They were dropped. Of the whole supervisor. */
  readonly late: number;
  /** Messages from replicas that did not fit the protocol. They were dropped. Of the whole supervisor. */
  readonly malformed: number;
  /** The replicas of the pool, in rotation or blocked. */
  readonly replicas: readonly ReplicaStats[];
}

/** One replica in the `stats()` of a pool. */
export interface ReplicaStats {
  readonly pid: number;
  /** 1 for the first process of this replica, 2 after its first restart or reload, and so on. */
  readonly incarnation: number;
  /** Messages that it was sent and has not finished: by this pool, by other pools and by its pid. */
  readonly unfinished: number;
  /** Whether its event loop has not turned for `blockedAfter` ms. It is then out of rotation, unless all are blocked. */
  readonly blocked: boolean;
  /**
   * The part of the time, from 0 to 1, in which its event loop did not wait for work. It covers the time since the last
   * stats() that was at least a second ago; at first, the time since the replica got ready.
   */
  readonly eventLoopUtilization: number;
}
