/** A pool: hands out the pids of a supervisor's replicas in turn, carries its messages, opens its windows. */

import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { badType, checkFunction, checkMilliseconds, checkOptions, checkSignal } from '../../arguments.js';
import type { MessageOf, ReplyOf } from '../../contract.js';
import { deferred } from '../../deferred.js';
import { BallermannError, poolRefusal, type Refusal } from '../../errors.js';
import { Ring } from '../../memory/ring.js';
import { Rotation } from '../../memory/rotation.js';
import type { Segment } from '../../memory/segment.js';
import { type CountedPool, counted, transact } from '../../memory/transactions.js';
import {
  type CallOptions,
  callOptions,
  DEFAULT_TIMEOUT,
  type TransactionOptions,
  transactionOptions,
} from '../../options.js';
import { traced, type WindowTrace, windows } from '../../tracing.js';
import { announce } from '../announce.js';
import type { PoolFigures, PoolMetrics } from '../metrics/supervisor-metrics.js';
import { WindowTimes } from '../metrics/window-times.js';
import type { Route } from '../replicas/message.js';
import { sendCall, sendCast } from '../replicas/messaging.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import type { Supervisor } from '../supervision/supervisor.js';
import type { SupervisorObserver } from '../supervision/supervisor-events.js';
import type { BalancerEvents } from './balancer-events.js';
import type { BalancerSettings } from './balancer-options.js';
import type { BalancerStats } from './balancer-stats.js';
import { Dispatcher } from './dispatcher.js';
import { Gate } from './gate.js';
import { Membership } from './membership.js';
import { type WindowContext, type WindowOptions, Windows } from './windows.js';

/** What a window waits for before its function runs: ms, or a function that is called with each pid and awaited. */
export type Wait = number | ((pid: number) => unknown);

/**
 * A pool, as `balance` makes it. `Contract` is the type of its replicas' handler; without one, messages and replies are
 * `unknown`. As an async disposable it is closed at the end of an `await using` block.
 */
export class Balancer<Contract = unknown> extends EventEmitter<BalancerEvents> implements AsyncDisposable {
  readonly name: string;
  /** The pool as its messages see it. @internal */
  readonly route: Route;
  readonly #supervisor: Supervisor;
  readonly #rotation: Rotation;
  readonly #gate: Gate;
  readonly #dispatcher: Dispatcher;
  readonly #counted: CountedPool;
  readonly #windows: Windows;
  readonly #windowTimes = new WindowTimes();
  readonly #membership: Membership;
  readonly #onClosed: () => void;
  #wasEmpty = true;
  #panicked = false;
  #closed: Promise<void> | undefined;

  /** Made by `balance`. @internal */
  constructor(
    supervisor: Supervisor,
    name: string,
    settings: BalancerSettings,
    segment: Segment,
    onClosed: () => void,
  ) {
    super();
    this.name = name;
    this.#supervisor = supervisor;
    this.#onClosed = onClosed;
    const ring = new Ring(segment, name, settings.maxQueueLength, settings.selection === 'least-queue');
    this.#rotation = new Rotation(
      segment,
      ring.index,
      (why) => this.#refuseTicket(why),
      (pid) => this.#membership.get(pid) !== undefined,
    );
    this.#membership = new Membership(supervisor, settings, {
      changed: () => this.#publish(),
      refreshed: () => this.#announce('refresh', { pids: this.pids() }),
      ended: () => this.#dispatcher.giveUpHeld(this.#refusal('empty')),
    });
    this.#gate = new Gate(ring, this.#membership);
    this.#counted = {
      name,
      segment,
      ring: ring.index,
      rotation: this.#rotation,
      untilResumed: (signal) => this.#untilResumed(signal),
    };
    this.#windows = new Windows(name, {
      close: () => this.#pause(),
      open: () => this.#resume(),
    });
    supervisor.slotSettings.limitQueues(this, settings.maxQueueLength);
    this.#dispatcher = new Dispatcher({
      name,
      codec: supervisor.codec,
      rotation: this.#rotation,
      membership: this.#membership,
      isPaused: () => this.#gate.isPaused,
      refuse: (why) => this.#refuse(why),
    });
    this.route = this.#dispatcher;
    supervisor.pools.add(this);
  }

  /**
   * Returns the next pid in rotation. There is nothing to give back.
   * @throws BallermannError: ERR_PAUSED during a window, ERR_DISCONNECTED without a replica, ERR_OVERLOAD, ERR_CLOSED.
   */
  pid(): number {
    return this.#rotation.next();
  }

  /** Returns the pids in rotation, in order, also during a window. Empty if the pool has no replica. */
  pids(): number[] {
    return this.#membership.rotation().map(({ pid }) => pid);
  }

  /**
   * Sends a message to the next replica and resolves with what its handler returned. Waits while a window is open.
   * @throws TypeError, RangeError for a wrong argument or a message that cannot travel. BallermannError: ERR_REMOTE if the
   * handler threw, ERR_REPLICA_DIED, ERR_TIMEOUT (after 5,000 ms by default, as gen_server:call), ERR_OVERLOAD,
   * ERR_DISCONNECTED, ERR_CLOSED, ERR_PAUSED from inside a window of this pool. The signal's reason if it aborts.
   */
  call<As = Contract>(message: MessageOf<As>, options?: CallOptions): Promise<ReplyOf<As>> {
    try {
      this.#windows.refuseInside('a call');
      return sendCall(this.route, message, callOptions(options)); // async would make more promises
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends a message to the next replica and waits for nothing. During a window it is kept, and sent when the window has
   * ended.
   * @throws TypeError, RangeError for a message that cannot travel. BallermannError: ERR_DISCONNECTED, ERR_OVERLOAD,
   * ERR_CLOSED.
   */
  cast<As = Contract>(message: MessageOf<As>): void {
    sendCast(this.route, message);
  }

  /**
   * Opens a maintenance window: pauses the pool, waits, runs `fn`, and resumes the pool whatever happens. With
   * `(pid) => ping(pid)` as `wait`, nothing that goes through the pool is running while `fn` runs. Windows of one pool run
   * one after another.
   * @param wait ms, or a function that is called with the pid of each replica of the supervisor; all its promises are
   * awaited together.
   * @returns what `fn` returned.
   * @throws what `fn` or `wait` threw. BallermannError: ERR_TIMEOUT, ERR_CLOSED, ERR_PAUSED from inside a window of this
   * pool. The signal's reason if it aborts.
   */
  async applyWithin<T>(
    fn: (context: WindowContext) => T | PromiseLike<T>,
    wait: Wait = 0,
    options: WindowOptions = {},
  ): Promise<T> {
    checkFunction('fn', fn);
    if (typeof wait !== 'function') {
      if (typeof wait !== 'number') throw badType('wait', 'a number of ms or a function', wait);
      checkMilliseconds('wait', wait);
    }
    checkOptions('options', options, ['signal', 'timeout']);
    checkSignal('options.signal', options.signal);
    if (options.timeout !== undefined) checkMilliseconds('options.timeout', options.timeout);
    const waiting = (ended: AbortSignal): Promise<void> => this.#wait(wait, ended);
    if (!windows.hasSubscribers) return this.#windows.run(waiting, fn, options);
    const trace: WindowTrace = { pool: this.name, openedAt: undefined, waitedAt: undefined };
    const opened: typeof waiting = (ended) => {
      trace.openedAt = performance.now();
      return waiting(ended);
    };
    const waited: typeof fn = (context) => {
      trace.waitedAt = performance.now();
      return fn(context);
    };
    return traced(windows, trace, () => this.#windows.run(opened, waited, options));
  }

  /**
   * Runs `fn` with the next pid. A window waits until it has ended. While a window is open, a new transaction waits.
   * @throws what `fn` threw. BallermannError: ERR_DISCONNECTED, ERR_OVERLOAD, ERR_TIMEOUT, ERR_CLOSED, ERR_PAUSED from
   * inside a window of this pool.
   */
  async transaction<T>(
    fn: (pid: number) => T | PromiseLike<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkFunction('fn', fn);
    this.#windows.refuseInside('a transaction');
    return transact(this.#counted, fn, transactionOptions(options));
  }

  /** Runs `fn` with every pid in rotation at once, as one transaction. Resolves with the results, in the order of the pids. */
  async map<T>(fn: (pid: number) => T | PromiseLike<T>): Promise<Awaited<T>[]> {
    checkFunction('fn', fn);
    this.#windows.refuseInside('map()');
    return counted(
      this.#counted,
      () => {
        if (this.#membership.size === 0) this.#refuse('empty');
        return Promise.all(this.pids().map(async (pid) => fn(pid)));
      },
      { timeout: DEFAULT_TIMEOUT, signal: undefined },
    );
  }

  /**
   * Takes all replicas of the supervisor into rotation. Resolves when every replica that was being started is up or has
   * failed.
   * @throws BallermannError: ERR_DISCONNECTED, ERR_CLOSED.
   */
  async refresh(): Promise<void> {
    if (!(await this.#membership.refresh())) this.#refuse('empty');
  }

  /** Returns a snapshot: who is in rotation, what waits, how busy each replica is. */
  stats(): BalancerStats {
    const { counters } = this.#supervisor;
    return {
      ...this.#figures(),
      outside: this.#membership.outside().map(({ pid }) => pid),
      late: counters.late,
      malformed: counters.malformed,
      replicas: this.#membership.replicas().map((replica) => {
        const { pid, incarnation, unfinished, blocked } = replica;
        const eventLoopUtilization = replica.eventLoopUtilization();
        return { pid, incarnation, unfinished, blocked, eventLoopUtilization };
      }),
    };
  }

  /** What metrics() of the supervisor shows of it. @internal */
  metrics(): PoolMetrics {
    return {
      ...this.#figures(),
      handOuts: this.#gate.handOuts(),
      windows: this.#windowTimes.snapshot(performance.now()),
      latency: this.#dispatcher.latency.snapshot(),
    };
  }

  #figures(): PoolFigures {
    const { sent, redirected, held, lostCasts } = this.#dispatcher;
    return {
      name: this.name,
      alive: this.#membership.size,
      original: this.#membership.original,
      paused: this.#gate.isPaused,
      sent,
      redirected,
      held,
      lostCasts,
      transactions: this.#gate.running(),
    };
  }

  /**
   * Closes the pool and frees its name. Calls that were sent still get their replies. Held calls, and windows that wait for
   * their turn, reject with ERR_CLOSED. Resolves when an open window has ended. The supervisor goes on.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** As close(). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What a machine tells of its pool: replicas in rotation, and whether a window is open. Cheaper than stats(). @internal */
  get standing(): Pick<PoolFigures, 'alive' | 'original' | 'paused'> {
    return {
      alive: this.#membership.size,
      original: this.#membership.original,
      paused: this.#gate.isPaused,
    };
  }

  /** Follows the supervisor. @returns what ends that. @internal */
  follow(observer: SupervisorObserver): () => void {
    this.#supervisor.observe(observer);
    return () => this.#supervisor.unobserve(observer);
  }

  /** Whether it was closed, or its supervisor was: it will never have a replica again. @internal */
  get hasEnded(): boolean {
    return this.#closed !== undefined || this.#supervisor.ended !== undefined;
  }

  /** Whether `replica` is one of the supervisor's that may be running something of the pool's. @internal */
  covers(replica: ReplicaProcess): boolean {
    return this.#supervisor.present().includes(replica);
  }

  /**
   * Resolves when no transaction runs in the pool any more; at once where it is not paused. It has to look again
   * and again: no notice of a transaction's end crosses threads and processes.
   * @param until ERR_TIMEOUT from then on (performance.now()).
   * @internal
   */
  async drained(until: number, signal: AbortSignal | undefined): Promise<void> {
    for (let ms = 1; this.#gate.isPaused && this.#gate.running() > 0; ms = Math.min(2 * ms, 8)) {
      if (performance.now() >= until) {
        throw new BallermannError(
          'ERR_TIMEOUT',
          `no answer to the ping in time: transactions of pool '${this.name}' are still running`,
        );
      }
      await sleep(ms);
      signal?.throwIfAborted();
    }
  }

  #announce<Name extends keyof BalancerEvents>(name: Name, ...args: BalancerEvents[Name]): void {
    announce(this, name, args, (error) =>
      this.#supervisor.reports.callbackFailed(`a listener of '${name}' of pool '${this.name}'`, error),
    );
  }

  #publish(): void {
    if (this.#closed !== undefined) return;
    this.#gate.publish();
    this.#panic();
    const isEmpty = this.#membership.size === 0;
    if (isEmpty === this.#wasEmpty) return;
    this.#wasEmpty = isEmpty;
    this.#announce(isEmpty ? 'disconnect' : 'connect');
    if (!isEmpty) this.#dispatcher.sendHeld();
  }

  #panic(): void {
    const { isPanicking } = this.#membership;
    if (isPanicking === this.#panicked) return;
    this.#panicked = isPanicking;
    if (isPanicking) this.#announce('panic', { pids: this.pids() });
    else this.#announce('calm');
  }

  #pause(): void {
    this.#gate.pause();
    this.#windowTimes.opened(performance.now());
    this.#supervisor.slotSettings.addWindow();
    this.#announce('pause');
  }

  #resume(): void {
    this.#gate.resume();
    this.#windowTimes.closed(performance.now());
    this.#supervisor.slotSettings.removeWindow();
    this.#dispatcher.sendHeld();
    this.#announce('resume');
  }

  async #untilResumed(signal: AbortSignal): Promise<void> {
    await this.#gate.untilResumed(signal);
    if (this.#closed !== undefined) this.#refuse('empty');
  }

  async #wait(wait: Wait, ended: AbortSignal): Promise<void> {
    if (typeof wait === 'number') {
      if (wait > 0) await sleep(wait, undefined, { signal: ended });
      return;
    }
    const present = this.#supervisor.present();
    await Promise.all(present.map((replica) => waitFor(replica, wait)));
    // A dead replica's ping has not waited for the transactions of others on its pid.
    const someDied = present.some(({ state }) => state === 'dead');
    if (someDied) await this.drained(performance.now() + DEFAULT_TIMEOUT, ended);
  }

  async #close(): Promise<void> {
    const closed = this.#refusal('closed');
    const windowEnds = this.#gate.isPaused ? this.#gate.resumed : undefined;
    this.#onClosed();
    this.#supervisor.pools.delete(this);
    this.#membership.leave();
    this.#supervisor.slotSettings.unlimitQueues(this);
    this.#gate.close();
    this.#windows.close(closed);
    this.#dispatcher.giveUpHeld(closed);
    await windowEnds;
    this.#announce('close');
  }

  /** For the rotation, which goes by what the shared memory says. */
  #refuseTicket(why: Refusal): never {
    if (!this.#gate.isForged(why)) this.#refuse(why);
    this.#gate.mend();
    this.#refuse('spoiled');
  }

  #refuse(why: Refusal): never {
    throw this.#refusal(why);
  }

  #refusal(why: Refusal): BallermannError {
    const { cause, connected } = this.#membership;
    const reason =
      cause?.message ?? (connected ? undefined : 'connect is false, and refresh() has not been called');
    return poolRefusal(this.name, this.#closed === undefined ? why : 'closed', {
      reason,
      cause,
    });
  }
}

/** A replica that dies meanwhile counts as waited for. */
async function waitFor(replica: ReplicaProcess, wait: (pid: number) => unknown): Promise<void> {
  const died = deferred();
  const stop = replica.onDeath(died.resolve);
  try {
    await Promise.race([wait(replica.pid), died.promise]);
  } catch (error) {
    if (replica.state !== 'dead') throw error;
  } finally {
    stop();
  }
}
