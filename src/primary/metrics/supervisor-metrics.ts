/** What `metrics()` of a supervisor shows: its types. */

/** The state of a replica. 'restarting': its process has ended, and it waits for the next start. */
export type ChildState = 'starting' | 'up' | 'stopping' | 'restarting';

/**
 * Why a new process has come, or will come, in the place of another.
 * - 'crash': an uncaught error, an exit code other than 0, or messages that made no sense.
 * - 'exit': it exited with code 0, and nobody had asked it to.
 * - 'signal': a signal ended it.
 * - 'hung': its event loop did not turn for `hangTimeout` ms, and it was killed.
 * - 'startFailed': it did not get ready, however it ended.
 * - 'recycle': it had reached `maxRequests`, `maxAge` or `maxRss`.
 * - 'reload': reload() replaced it.
 * - 'requested': it was asked to go, by SIGTERM or by a function of node:cluster.
 */
export type RestartReason =
  | 'crash'
  | 'exit'
  | 'signal'
  | 'hung'
  | 'startFailed'
  | 'recycle'
  | 'reload'
  | 'requested';

/** Why a process has ended. 'stopped': close() or resize() has stopped it, or the supervisor gave up. */
export type ExitReason = RestartReason | 'stopped';

/**
 * A snapshot of a supervisor, its replicas and its pools. It comes from the memory of the primary and from shared memory: no
 * message is sent, and a hung replica does not delay it. Times are in ms, sizes in bytes. Counters never go down while the
 * supervisor lives. JSON can hold all of it.
 */
export interface SupervisorMetrics {
  /** The name of the supervisor. */
  readonly name: string;
  /**
   * 'starting' until the first replicas are ready. 'closing' and 'closed' after close(), 'failed' if it has given up
   * (ERR_RESTART_INTENSITY) or its first replicas did not get ready.
   */
  readonly state: 'starting' | 'running' | 'closing' | 'closed' | 'failed';
  /** ms since supervise() was called. */
  readonly uptime: number;
  /** One entry for each number, ascending, also while a replica is being replaced or waits for its restart. */
  readonly replicas: readonly ReplicaMetrics[];
  /** Its pools that are not closed, in the order in which they were made. */
  readonly pools: readonly PoolMetrics[];
  readonly reloads: {
    readonly succeeded: number;
    readonly failed: number;
    /** Whether one is under way. One that waits for its turn is not. */
    readonly running: boolean;
    /** ms that the last one took, failed or not. Undefined before the first has ended. */
    readonly lastDuration: number | undefined;
  };
  /** Replies that came after their caller had stopped waiting. They were dropped. */
  readonly late: number;
  /** Messages from replicas that did not fit the protocol. They were dropped. */
  readonly malformed: number;
}

/**
 * A replica, by its number. Gauges are those of the process that has the place now. Counters are sums over all processes that
 * have had the number, one that is finishing its work included. A number that resize() takes away and brings back goes on where it
 * was.
 */
export interface ReplicaMetrics {
  /** Its number, 0 to n - 1: `id` in children(), `index` in the replica. Restarts and reloads keep it. */
  readonly index: number;
  /** Undefined while it waits for a start. */
  readonly pid: number | undefined;
  /** 1 for the first process of this number, 2 for the next, and so on. 0 before the first. */
  readonly incarnation: number;
  readonly state: ChildState;
  /** Whether its event loop has not turned for `blockedAfter` ms. It is then out of rotation, unless all are blocked. */
  readonly blocked: boolean;
  /** ms since it got ready. 0 while it is not. */
  readonly uptime: number;
  /** How often a new process has come, or is about to come, in the place of another. A refused fork does not count. */
  readonly restarts: Readonly<Record<RestartReason, number>>;
  /** How the last process of this number ended. Undefined if none has. */
  readonly lastExit: LastExit | undefined;
  /**
   * Bytes of memory. On Linux, as /proc says when metrics() is called; elsewhere, as the replica last wrote it, if `maxRss` is
   * set. Undefined where it is not known.
   */
  readonly rss: number | undefined;
  /**
   * The part of the time, from 0 to 1, in which its event loop did not wait for work. It covers the last one to two seconds, or
   * the time since anybody last looked if that is longer. At first, it covers the time since the replica got ready.
   */
  readonly eventLoopUtilization: number;
  /** Counter: ms for which its event loop did not wait for work. Its rate is the utilization over any time. From its slot. */
  readonly busyTime: number;
  /** Messages that it was sent and has not finished: by pools and by its pid. From the primary. */
  readonly unfinished: number;
  /** Counter: calls and casts that it has taken out of its mailbox. From its slot. */
  readonly taken: number;
  /** Requests that its servers are running now. From its slot. */
  readonly running: number;
  /** Counter: requests that its servers have begun. From its slot. */
  readonly requests: number;
  /** Counter: connections that its servers have accepted, or were given. From its slot. */
  readonly accepted: number;
}

export interface LastExit {
  /** The exit code; null if a signal ended the process. */
  readonly code: number | null;
  /** The signal that ended the process; null if it exited. */
  readonly signal: NodeJS.Signals | null;
  readonly reason: ExitReason;
  /** When the primary saw it: ms since the epoch, as Date.now(). */
  readonly at: number;
}

/** What stats() of a pool and metrics() of its supervisor both show. The counters begin when the pool is made. */
export interface PoolFigures {
  readonly name: string;
  /** How many replicas the pool has, in rotation or blocked. */
  readonly alive: number;
  /** How many replicas the pool had after its last refresh. */
  readonly original: number;
  /** Whether a window is open. */
  readonly paused: boolean;
  /** Counter: calls and casts that were sent to a replica. One that was redirected counts twice. */
  readonly sent: number;
  /** Counter: calls and casts that went to another replica because the first one had died. */
  readonly redirected: number;
  /** Calls and casts that are waiting now, for a window to end or for a replica. */
  readonly held: number;
  /** Counter: casts that were lost because the pool was closed, had no replica left or was full. */
  readonly lostCasts: number;
  /** Transactions that are running now, in all processes. */
  readonly transactions: number;
}

/** A pool. */
export interface PoolMetrics extends PoolFigures {
  /**
   * Counter: pids that were handed out, in all processes and threads. Callers take them in blocks, and a block counts when it is
   * taken.
   */
  readonly handOuts: number;
  readonly windows: WindowMetrics;
  readonly latency: LatencyHistogram;
}

export interface WindowMetrics {
  /** Counter: windows that have opened. */
  readonly count: number;
  /** Whether one is open. */
  readonly open: boolean;
  /** Counter: ms for which the pool was paused. A window that is open counts up to now. */
  readonly totalDuration: number;
  /** ms that the last window was open. Undefined before the first has ended. */
  readonly lastDuration: number | undefined;
}

/**
 * How long the calls of a pool took that got a reply, those that replicas made included: ms from the call in the primary to the
 * reply, without the way to and from another replica that called. A call that failed, an ERR_REMOTE included, is not in it.
 */
export interface LatencyHistogram {
  readonly count: number;
  /** ms. */
  readonly sum: number;
  /** `count` calls took `le` ms or less: cumulative, ascending. Calls that took longer than the last `le` are only in the total. */
  readonly buckets: readonly { readonly le: number; readonly count: number }[];
}
