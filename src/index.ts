/** `ballermann`: the public functions, which do in each process and thread what can be done there. */

import { isMainThread } from 'node:worker_threads';
import type { MessageOf, ReplyOf } from './contract.js';
import type { Local } from './local/local.js';
import { primary } from './local/primary.js';
import { replicaLocal } from './local/replica.js';
import { threadLocal } from './local/thread.js';
import type { CallOptions, PingOptions, TransactionOptions } from './options.js';
import type { Balancer, Wait } from './primary/pools/balancer.js';
import type { BalancerOptions } from './primary/pools/balancer-options.js';
import type { WindowContext, WindowOptions } from './primary/pools/windows.js';
import type { Supervisor } from './primary/supervision/supervisor.js';
import type { SupervisorOptions } from './primary/supervision/supervisor-options.js';
import { replicaRuntime } from './replica/found.js';

export type { Serialization } from './channel/codec.js';
export type { Listen } from './channel/listening.js';
export type { WaitReady } from './channel/readiness.js';
export type { MessageOf, ReplyOf } from './contract.js';
export { BallermannError, type ErrorCode } from './errors.js';
export type { CallOptions, PingOptions, TransactionOptions } from './options.js';
export type { Remote, StickyKey } from './primary/listening/sticky.js';
export type {
  ChildState,
  ExitReason,
  LastExit,
  LatencyHistogram,
  PoolFigures,
  PoolMetrics,
  ReplicaMetrics,
  RestartReason,
  SupervisorMetrics,
  WindowMetrics,
} from './primary/metrics/supervisor-metrics.js';
export type { Balancer, Wait } from './primary/pools/balancer.js';
export type { BalancerEvents } from './primary/pools/balancer-events.js';
export type { BalancerOptions, Selection } from './primary/pools/balancer-options.js';
export type { BalancerStats, ReplicaStats } from './primary/pools/balancer-stats.js';
export type { WindowContext, WindowOptions } from './primary/pools/windows.js';
export type { AdminOptions } from './primary/supervision/admin-options.js';
export type { ChildInfo } from './primary/supervision/child.js';
export type { Logger } from './primary/supervision/log.js';
export type { ReloadOptions } from './primary/supervision/reload.js';
export type { BackoffOptions, RestartType } from './primary/supervision/restart-policy.js';
export type { Supervisor } from './primary/supervision/supervisor.js';
export type {
  BlockedEvent,
  DownEvent,
  ForkFailedEvent,
  HungEvent,
  RecycleEvent,
  SupervisorEvents,
  UpEvent,
} from './primary/supervision/supervisor-events.js';
export type { RecycleReason, SupervisorOptions } from './primary/supervision/supervisor-options.js';

export type { CallTrace, HandleTrace, ReloadTrace, TraceCarrier, WindowTrace } from './tracing.js';

const local: Local = chooseLocal();

function chooseLocal(): Local {
  if (!isMainThread) return threadLocal();
  const runtime = replicaRuntime();
  return runtime === undefined ? primary : replicaLocal(runtime);
}

/**
 * Starts replicas of a script and keeps them running. Resolves when all of them are ready. Works in the primary's main
 * thread.
 * @throws TypeError, RangeError for a wrong option. BallermannError: ERR_START_FAILED if a replica does not get ready (all
 * are stopped then), ERR_SEGMENT_FULL, ERR_NATIVE_UNAVAILABLE, ERR_WRONG_PROCESS.
 */
export function supervise(options: SupervisorOptions): Promise<Supervisor> {
  return local.supervise(options);
}

/**
 * Makes a pool over a supervisor's replicas. Several pools may share a supervisor. Works in the primary's main thread.
 *
 * `balance<typeof handler>(…)` types the pool's messages and replies, where `handler` is what `handle` of the replica's
 * script returned.
 * @param name 1 to 120 bytes of UTF-8. The name of a pool whose supervisor has ended may be used again; that pool is closed.
 * @param ratio below which ratio of alive to original replicas the pool is refreshed (0.8), or an object with all options.
 * @throws TypeError, RangeError for a wrong argument. BallermannError: ERR_POOL_EXISTS, ERR_SEGMENT_FULL, ERR_WRONG_PROCESS;
 * if the supervisor has ended, ERR_CLOSED or ERR_RESTART_INTENSITY.
 */
export function balance<Contract = unknown>(
  supervisor: Supervisor,
  name: string,
  ratio?: number | BalancerOptions,
): Promise<Balancer<Contract>> {
  return local.balance(supervisor, name, ratio);
}

/**
 * Returns the next pid of a pool, in turn. Works in every process and thread of the cluster.
 * @throws BallermannError: ERR_NO_SUCH_POOL, ERR_PAUSED during a window, ERR_DISCONNECTED without a replica, ERR_OVERLOAD.
 */
export function pid(name: string): number {
  return local.pid(name);
}

/**
 * Sends a message to the next replica of a pool, or to one pid, and resolves with what its handler returned. A call to a
 * pool waits while a window is open; a call to a pid does not. Works in the primary and in replicas.
 *
 * The type parameter is the reply, as in `call<number>('adders', message)`, or a contract that types the message as well:
 * `call<typeof handler>('adders', message)`.
 * @param target the name of a pool, or a pid.
 * @throws TypeError, RangeError for a wrong argument or a message that cannot travel. BallermannError: ERR_REMOTE if the
 * handler threw, ERR_REPLICA_DIED, ERR_TIMEOUT (after 5,000 ms by default, as gen_server:call), ERR_OVERLOAD,
 * ERR_DISCONNECTED, ERR_NO_SUCH_POOL, ERR_NO_SUCH_REPLICA. The signal's reason if it aborts.
 */
export function call<Contract = unknown>(
  target: string | number,
  message: MessageOf<Contract>,
  options?: CallOptions,
): Promise<ReplyOf<Contract>> {
  return local.call(target, message, options);
}

/**
 * Sends a message as `call` does, and waits for nothing. If the handler throws, the supervisor emits 'castFailed'.
 * @throws TypeError, RangeError for a wrong argument or a message that cannot travel. BallermannError: ERR_NO_SUCH_POOL,
 * ERR_NO_SUCH_REPLICA, ERR_DISCONNECTED, ERR_OVERLOAD. A replica throws only what it knows at once; 'castFailed' tells the rest.
 */
export function cast<Contract = unknown>(target: string | number, message: MessageOf<Contract>): void {
  local.cast(target, message);
}

/**
 * Resolves when the replica has finished all that it was sent before, asynchronous handlers and HTTP requests included.
 * Inside a window it also waits for the transactions of the paused pool. Works in the primary and in replicas.
 * @throws TypeError, RangeError for a wrong argument. BallermannError: ERR_NO_SUCH_REPLICA, ERR_REPLICA_DIED, ERR_TIMEOUT
 * (after 5,000 ms by default). The signal's reason if it aborts.
 */
export function ping(pid: number, options?: PingOptions): Promise<void> {
  return local.ping(pid, options);
}

/**
 * Opens a maintenance window: pauses the pool, waits, runs `fn`, and resumes the pool whatever happens. Settles as `fn`
 * does. With `applyWithin(name, fn, (pid) => ping(pid))`, every replica is idle while `fn` runs. Works in the primary's
 * main thread.
 * @param wait ms, or a function that is called with the pid of each replica of the supervisor; all its promises are awaited
 * together. Default: 0.
 * @throws as the method `applyWithin` of Balancer, and ERR_NO_SUCH_POOL.
 */
export function applyWithin<T>(
  name: string,
  fn: (context: WindowContext) => T | PromiseLike<T>,
  wait?: Wait,
  options?: WindowOptions,
): Promise<T> {
  return local.applyWithin(name, fn, wait, options);
}

/**
 * Runs `fn` with the next pid of a pool. A window waits until it has ended. While a window is open, a new transaction
 * waits, by default for 5,000 ms. Works in every process and thread of the cluster.
 * @throws what `fn` threw. TypeError, RangeError for a wrong argument. BallermannError: ERR_NO_SUCH_POOL,
 * ERR_DISCONNECTED, ERR_OVERLOAD, ERR_TIMEOUT. The signal's reason if it aborts.
 */
export function transaction<T>(
  name: string,
  fn: (pid: number) => T | PromiseLike<T>,
  options?: TransactionOptions,
): Promise<T> {
  return local.transaction(name, fn, options);
}

/**
 * Runs `fn` with every pid in a pool's rotation at once, and resolves with all results. Works in the primary's main thread.
 * @throws as `transaction`.
 */
export function map<T>(name: string, fn: (pid: number) => T | PromiseLike<T>): Promise<Awaited<T>[]> {
  return local.map(name, fn);
}

/**
 * Takes all replicas of the pool's supervisor into its rotation. Works in the primary's main thread.
 * @throws BallermannError: ERR_NO_SUCH_POOL, ERR_DISCONNECTED, ERR_CLOSED.
 */
export function refresh(name: string): Promise<void> {
  return local.refresh(name);
}

/** Returns the pool of that name. Works in the primary's main thread. @throws BallermannError: ERR_NO_SUCH_POOL. */
export function pool<Contract = unknown>(name: string): Balancer<Contract> {
  return local.pool(name);
}
