/** `ballermann`: the public functions, which do in each process and thread what can be done there. */

import { isMainThread } from 'node:worker_threads';
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
export { BallermannError, type ErrorCode } from './errors.js';
export type { CallOptions, PingOptions, TransactionOptions } from './options.js';
export type { Remote, StickyKey } from './primary/listening/sticky.js';
export type { Balancer, Wait } from './primary/pools/balancer.js';
export type { BalancerEvents } from './primary/pools/balancer-events.js';
export type { BalancerOptions, Selection } from './primary/pools/balancer-options.js';
export type { BalancerStats, ReplicaStats } from './primary/pools/balancer-stats.js';
export type { WindowContext, WindowOptions } from './primary/pools/windows.js';
export type { ChildInfo, ChildState } from './primary/supervision/child.js';
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

const local: Local = chooseLocal();

function chooseLocal(): Local {
  if (!isMainThread) return threadLocal();
  const runtime = replicaRuntime();
  return runtime === undefined ? primary : replicaLocal(runtime);
}

/**
 * Starts replicas of a script and keeps them running. Resolves when every one is ready.
 * Works in the primary's main thread.
 * @throws TypeError, RangeError; BallermannError ERR_START_FAILED (none is left running then), ERR_SEGMENT_FULL,
 * ERR_NATIVE_UNAVAILABLE, ERR_WRONG_PROCESS.
 */
export function supervise(options: SupervisorOptions): Promise<Supervisor> {
  return local.supervise(options);
}

/**
 * Makes a pool over a supervisor's replicas. Several pools may share a supervisor. The name of a pool whose supervisor has
 * ended is free: that pool is closed then.
 * Works in the primary's main thread.
 * @param name 1 to 120 bytes of UTF-8.
 * @param ratio alive / original below which the pool is refreshed (0.8), or all options.
 * @throws TypeError, RangeError; BallermannError ERR_POOL_EXISTS, ERR_SEGMENT_FULL; ERR_CLOSED or
 * ERR_RESTART_INTENSITY where the supervisor has ended.
 */
export function balance(
  supervisor: Supervisor,
  name: string,
  ratio?: number | BalancerOptions,
): Promise<Balancer> {
  return local.balance(supervisor, name, ratio);
}

/**
 * The next pid of a pool, in turn. Works in every process and thread of the cluster.
 * @throws BallermannError ERR_NO_SUCH_POOL, ERR_PAUSED, ERR_DISCONNECTED, ERR_OVERLOAD.
 */
export function pid(name: string): number {
  return local.pid(name);
}

/**
 * Sends a message to a pool's next replica, or to one pid, and answers with what its handler gave. A call to a pool
 * waits while the pool is paused; one to a pid does not. Works in the primary and in replicas.
 * @throws TypeError, RangeError; BallermannError ERR_NO_SUCH_POOL, ERR_NO_SUCH_REPLICA, ERR_DISCONNECTED,
 * ERR_OVERLOAD, ERR_REPLICA_DIED, ERR_REMOTE, ERR_TIMEOUT (after 5,000 ms unless `timeout` says otherwise, as
 * gen_server:call); the signal's reason.
 */
export function call<Reply = unknown>(
  target: string | number,
  message: unknown,
  options?: CallOptions,
): Promise<Reply> {
  return local.call<Reply>(target, message, options);
}

/**
 * As call, without an answer. A handler that throws is reported by the supervisor's event 'castFailed'.
 * @throws TypeError, RangeError; BallermannError ERR_NO_SUCH_POOL, ERR_NO_SUCH_REPLICA, ERR_DISCONNECTED,
 * ERR_OVERLOAD. In a replica only what is known there.
 */
export function cast(target: string | number, message: unknown): void {
  local.cast(target, message);
}

/**
 * Resolves when the replica has finished all that it was sent before, asynchronous handlers included. Inside a window
 * it also waits for the transactions of the paused pool. Works in the primary and in replicas.
 * @throws TypeError, RangeError; BallermannError ERR_NO_SUCH_REPLICA, ERR_REPLICA_DIED, ERR_TIMEOUT; the signal's
 * reason.
 */
export function ping(pid: number, options?: PingOptions): Promise<void> {
  return local.ping(pid, options);
}

/**
 * A maintenance window: stops handing out pids, waits, runs `fn`, goes on; settles with what `fn` gave or threw.
 * `applyWithin(name, fn, (pid) => ping(pid))` runs `fn` when every replica is idle. Works in the primary's main thread.
 * @param wait ms, or a function that is called with each pid of the supervisor's replicas at once; all are awaited.
 * @throws see Balancer.applyWithin.
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
 * Runs `fn` with the next pid of a pool; a window waits for its end. Waits first while the pool is paused, 5,000 ms
 * unless `timeout` says otherwise. Works in every process and thread of the cluster.
 * @throws what `fn` threw; TypeError, RangeError; BallermannError ERR_NO_SUCH_POOL, ERR_DISCONNECTED, ERR_OVERLOAD,
 * ERR_TIMEOUT; the signal's reason.
 */
export function transaction<T>(
  name: string,
  fn: (pid: number) => T | PromiseLike<T>,
  options?: TransactionOptions,
): Promise<T> {
  return local.transaction(name, fn, options);
}

/** Runs `fn` with every pid in a pool's rotation at once. Works in the primary's main thread. */
export function map<T>(name: string, fn: (pid: number) => T | PromiseLike<T>): Promise<Awaited<T>[]> {
  return local.map(name, fn);
}

/** Takes all replicas of the pool's supervisor into rotation. Works in the primary's main thread. */
export function refresh(name: string): Promise<void> {
  return local.refresh(name);
}

/** The pool of that name. Works in the primary's main thread. @throws BallermannError ERR_NO_SUCH_POOL. */
export function pool(name: string): Balancer {
  return local.pool(name);
}
