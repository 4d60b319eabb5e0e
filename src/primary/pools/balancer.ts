/** A pool: hands out the pids of a supervisor's replicas in turn, carries its messages, opens its windows. */

import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { badType, checkFunction, checkMilliseconds, checkOptions, checkSignal } from '../../arguments.js';
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
import { announce } from '../announce.js';
import type { Route } from '../replicas/message.js';
import { sendCall, sendCast } from '../replicas/messaging.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import type { Supervisor } from '../supervision/supervisor.js';
import type { BalancerEvents } from './balancer-events.js';
import type { BalancerSettings } from './balancer-options.js';
import type { BalancerStats } from './balancer-stats.js';
import { Dispatcher } from './dispatcher.js';
import { Gate } from './gate.js';
import { Membership } from './membership.js';
import { type WindowContext, type WindowOptions, Windows } from './windows.js';

/** How long a window waits for what is idle: ms, or a function that is called with each pid. */
export type Wait = number | ((pid: number) => unknown);

export class Balancer extends EventEmitter<BalancerEvents> implements AsyncDisposable {
  readonly name: string;
  /** The pool as its messages see it. @internal */
  readonly route: Route;
  readonly #supervisor: Supervisor;
  readonly #rotation: Rotation;
  readonly #gate: Gate;
  readonly #dispatcher: Dispatcher;
  readonly #counted: CountedPool;
  readonly #windows: Windows;
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
      (why) => this.#refuse(why),
      (pid) => this.#membership.get(pid) !== undefined,
    );
    this.#gate = new Gate(ring, () => this.#membership.rotation());
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
    this.#membership = new Membership(supervisor, settings, {
      changed: () => this.#publish(),
      refreshed: () => this.#announce('refresh', { pids: this.pids() }),
      ended: () => this.#dispatcher.giveUpHeld(this.#refusal('empty')),
    });
    this.#dispatcher = new Dispatcher({
      name,
      codec: supervisor.codec,
      rotation: this.#rotation,
      membership: this.#membership,
      isPaused: () => this.#gate.isPaused,
      refuse: (why) => this.#refuse(why),
    });
    this.route = this.#dispatcher;
  }

  /**
   * The next pid in rotation. Synchronous and without a lease: nothing needs to be given back.
   * @throws BallermannError ERR_PAUSED, ERR_DISCONNECTED, ERR_OVERLOAD, ERR_CLOSED.
   */
  pid(): number {
    return this.#rotation.next();
  }

  /** The pids in rotation, in order; empty when disconnected. Also while paused. */
  pids(): number[] {
    return this.#membership.rotation().map(({ pid }) => pid);
  }

  /**
   * Sends a message to the next replica and answers with what its handler gave. Waits while the pool is paused.
   * @throws TypeError, RangeError, BallermannError ERR_DISCONNECTED, ERR_OVERLOAD, ERR_REPLICA_DIED, ERR_REMOTE,
   * ERR_TIMEOUT (after 5,000 ms unless `timeout` says otherwise, as gen_server:call), ERR_PAUSED from inside a window
   * of this pool, or the signal's reason.
   */
  call<Reply = unknown>(message: unknown, options?: CallOptions): Promise<Reply> {
    try {
      this.#windows.refuseInside('a call');
      return sendCall<Reply>(this.route, message, callOptions(options)); // async would make more promises
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends a message to the next replica and does not wait for it. Kept while the pool is paused, within a bound.
   * @throws TypeError, RangeError, BallermannError ERR_DISCONNECTED, ERR_OVERLOAD, ERR_CLOSED.
   */
  cast(message: unknown): void {
    sendCast(this.route, message);
  }

  /**
   * A maintenance window: stops handing out pids, waits, runs `fn`, and goes on, whatever happens meanwhile.
   * With `(pid) => ping(pid)` as `wait` nothing that goes through the pool is running when `fn` begins. Windows of
   * one pool run one after another.
   * @param wait ms, or a function called with the pid of each of the supervisor's replicas at once; all awaited.
   * @returns what `fn` gave.
   * @throws what `fn` or `wait` threw; BallermannError ERR_TIMEOUT, ERR_CLOSED, or ERR_PAUSED from inside a window
   * of this pool; the signal's reason.
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
    return this.#windows.run((ended) => this.#wait(wait, ended), fn, options);
  }

  /**
   * Runs `fn` with the next pid, counted: a window waits for its end. Waits first while the pool is paused.
   * @throws what `fn` threw; BallermannError ERR_DISCONNECTED, ERR_OVERLOAD, ERR_TIMEOUT, ERR_CLOSED, or ERR_PAUSED
   * from inside a window of this pool.
   */
  async transaction<T>(
    fn: (pid: number) => T | PromiseLike<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkFunction('fn', fn);
    this.#windows.refuseInside('a transaction');
    return transact(this.#counted, fn, transactionOptions(options));
  }

  /** Runs `fn` for every pid in rotation at once, counted as one transaction; the results in order of the pids. */
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
   * Takes all of the supervisor's replicas into rotation. Complete when every replica that was being started is
   * up or has failed.
   * @throws BallermannError ERR_DISCONNECTED, ERR_CLOSED.
   */
  async refresh(): Promise<void> {
    if (!(await this.#membership.refresh())) this.#refuse('empty');
  }

  stats(): BalancerStats {
    const { counters } = this.#supervisor;
    const { sent, redirected, held, lostCasts } = this.#dispatcher;
    return {
      name: this.name,
      alive: this.#membership.size,
      original: this.#membership.original,
      outside: this.#membership.outside().map(({ pid }) => pid),
      paused: this.#gate.isPaused,
      sent,
      redirected,
      held,
      lostCasts,
      transactions: this.#gate.running(),
      late: counters.late,
      malformed: counters.malformed,
      replicas: this.#membership.replicas().map((replica) => {
        const { pid, incarnation, unfinished, blocked } = replica;
        const eventLoopUtilization = replica.eventLoopUtilization();
        return { pid, incarnation, unfinished, blocked, eventLoopUtilization };
      }),
    };
  }

  /**
   * Gives the name back. Calls that were sent end as they would have; what is held, and windows that wait for
   * their turn, reject with ERR_CLOSED. Resolves when an open window has ended. The supervisor goes on.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Whether its supervisor has ended: it will never have a replica again. @internal */
  get hasEnded(): boolean {
    return this.#supervisor.ended !== undefined;
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
        throw new BallermannError('ERR_TIMEOUT', `transactions of pool '${this.name}' did not end in time`);
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
    this.#supervisor.slotSettings.addWindow();
    this.#announce('pause');
  }

  #resume(): void {
    this.#gate.resume();
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
    this.#membership.leave();
    this.#supervisor.slotSettings.unlimitQueues(this);
    this.#gate.close();
    this.#windows.close(closed);
    this.#dispatcher.giveUpHeld(closed);
    await windowEnds;
    this.#announce('close');
  }

  #refuse(why: Refusal): never {
    if (!this.#gate.isForged(why)) throw this.#refusal(why);
    this.#gate.mend();
    throw this.#refusal('spoiled');
  }

  #refusal(why: Refusal): BallermannError {
    const { cause, connected } = this.#membership;
    const reason = cause?.message ?? (connected ? undefined : 'it was never connected');
    return poolRefusal(this.name, this.#closed === undefined ? why : 'closed', {
      reason,
      cause,
    });
  }
}

/** A replica that dies meanwhile counts as waited for. */
async function waitFor(replica: ReplicaProcess, wait: (pid: number) => unknown): Promise<void> {
  const waited = (async () => wait(replica.pid))().catch((error: unknown) => {
    if (replica.state !== 'dead') throw error;
  });
  await Promise.race([waited, replica.dead]);
}
