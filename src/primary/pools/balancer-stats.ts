/** What `stats()` of a pool shows. */

export interface BalancerStats {
  readonly name: string;
  /** Replicas that the pool has: those in rotation, and those that are blocked. */
  readonly alive: number;
  /** Replicas at the last completed refresh. */
  readonly original: number;
  /**
   * Pids of the supervisor's replicas that are up and that the pool leaves out, as it does with those that take the place of
   * dead ones while alive / original is not below `minAliveRatio`. refresh() takes them in, and so does a reload or a resize.
   */
  readonly outside: readonly number[];
  readonly paused: boolean;
  /** Calls and casts that were given to a replica, redirections included. */
  readonly sent: number;
  /** Of these, those that went to another replica after the first one's death. */
  readonly redirected: number;
  /** Calls and casts that wait for the end of a window or for a replica. */
  readonly held: number;
  /** Casts given up because the pool was closed, had no replica left or was full. */
  readonly lostCasts: number;
  /** Transactions running in all processes. */
  readonly transactions: number;
  /** Answers that came after their caller had stopped waiting; of the whole supervisor. */
  readonly late: number;
  /** What arrived over IPC and did not fit the protocol; of the whole supervisor. */
  readonly malformed: number;
  readonly replicas: readonly ReplicaStats[];
}

export interface ReplicaStats {
  readonly pid: number;
  readonly incarnation: number;
  /** Messages sent to it and not finished, by whichever road they came. */
  readonly unfinished: number;
  /** Its event loop has not turned for `blockedAfter` ms. It is not in rotation then, unless all are blocked. */
  readonly blocked: boolean;
  /**
   * The part of the time, 0 to 1, in which its event loop did not wait for work: since the last look that any stats()
   * took a second ago or longer, or since the replica was ready.
   */
  readonly eventLoopUtilization: number;
}
