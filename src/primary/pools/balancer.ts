/** A pool: hands out the pids of a supervisor's replicas in turn, carries its messages, opens its windows. */

import { EventEmitter } from 'node:events';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
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
import type { Message, Route } from '../replicas/message.js';
import { sendCall, sendCast } from '../replicas/messaging.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import type { Supervisor } from '../supervision/supervisor.js';
import type { BalancerSettings } from './balancer-options.js';
import { Held } from './held.js';
import { Membership } from './membership.js';
import { type WindowContext, type WindowOptions, Windows } from './windows.js';

/** How long a window waits for what is idle: ms, or a function that is called with each pid. */
export type Wait = number | ((pid: number) => unknown);

export interface BalancerEvents {
  /** A refresh is complete, also where it found nobody: these pids are in rotation, and their number is the new original. */
  refresh: [{ readonly pids: readonly number[] }];
  /** The pool has a replica again. */
  connect: [];
  /** The last replica went; `pid` throws ERR_DISCONNECTED until the next 'connect'. */
  disconnect: [];
  /** All replicas of the pool are blocked: they are in rotation again, since nobody else is there. */
  panic: [{ readonly pids: readonly number[] }];
  /** One of them turns again, or none is left: blocked replicas are left out as before. */
  calm: [];
  /** A window opened: nothing is handed out. */
  pause: [];
  /** The window ended. */
  resume: [];
  close: [];
}

export interface BalancerStats {
  readonly name: string;
  /** Replicas that the pool has: those in rotation, and those that are blocked. */
  readonly alive: number;
  /** Replicas at the last completed refresh. */
  readonly original: number;
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

export class Balancer extends EventEmitter<BalancerEvents> implements AsyncDisposable {
  readonly name: string;
  /** The pool as its messages see it. @internal */
  readonly route: Route;
  readonly #supervisor: Supervisor;
  readonly #ring: Ring;
  readonly #rotation: Rotation;
  readonly #counted: CountedPool;
  readonly #windows: Windows;
  readonly #membership: Membership;
  readonly #held = new Held();
  readonly #onClosed: () => void;
  #wasEmpty = true;
  #panicked = false;
  #paused = false;
  #resumed: Promise<void> = Promise.resolve();
  #resolveResumed: () => void = () => {};
  #closed: Promise<void> | undefined;
  #sent = 0;
  #redirected = 0;
  #lostCasts = 0;

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
    this.route = {
      codec: supervisor.codec,
      accept: (message) => this.#accept(message),
      redirect: (message) => this.#redirect(message),
    };
    this.#supervisor = supervisor;
    this.#onClosed = onClosed;
    this.#ring = new Ring(segment, name, settings.maxQueueLength, settings.selection === 'least-queue');
    this.#rotation = new Rotation(
      segment,
      this.#ring.index,
      (why) => this.#refuse(why),
      (pid) => this.#membership.get(pid) !== undefined,
    );
    this.#counted = {
      name,
      segment,
      ring: this.#ring.index,
      rotation: this.#rotation,
      untilResumed: (signal) => this.#untilResumed(signal),
    };
    this.#windows = new Windows(name, {
      close: () => this.#pause(),
      open: () => this.#resume(),
    });
    supervisor.limitQueues(this, settings.maxQueueLength);
    this.#membership = new Membership(supervisor, settings, {
      changed: () => this.#publish(),
      refreshed: () => this.#announce('refresh', { pids: this.pids() }),
      ended: () => this.#giveUpHeld(this.#refusal('empty')),
    });
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
   * ERR_TIMEOUT (after 5,000 ms unless `timeout` says otherwise, as gen_server:call), or the signal's reason.
   */
  async call<Reply = unknown>(message: unknown, options?: CallOptions): Promise<Reply> {
    return sendCall<Reply>(this.route, message, callOptions(options));
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
   * @throws what `fn` threw; BallermannError ERR_DISCONNECTED, ERR_OVERLOAD, ERR_TIMEOUT, ERR_CLOSED.
   */
  async transaction<T>(
    fn: (pid: number) => T | PromiseLike<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkFunction('fn', fn);
    return transact(this.#counted, fn, transactionOptions(options));
  }

  /** Runs `fn` for every pid in rotation at once, counted as one transaction; the results in order of the pids. */
  async map<T>(fn: (pid: number) => T | PromiseLike<T>): Promise<Awaited<T>[]> {
    checkFunction('fn', fn);
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
    return {
      name: this.name,
      alive: this.#membership.size,
      original: this.#membership.original,
      paused: this.#paused,
      sent: this.#sent,
      redirected: this.#redirected,
      held: this.#held.size,
      lostCasts: this.#lostCasts,
      transactions: this.#closed === undefined ? this.#ring.running() : 0,
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
    for (let ms = 1; this.#paused && this.#ring.running() > 0; ms = Math.min(2 * ms, 8)) {
      if (performance.now() >= until) {
        throw new BallermannError('ERR_TIMEOUT', `transactions of pool '${this.name}' did not end in time`);
      }
      await sleep(ms);
      signal?.throwIfAborted();
    }
  }

  /** In a tick of its own: what a listener does or throws cannot come between the steps of the pool. */
  #announce<Name extends keyof BalancerEvents>(name: Name, ...args: BalancerEvents[Name]): void {
    process.nextTick(() => (this as EventEmitter).emit(name, ...args));
  }

  #publish(): void {
    if (this.#closed !== undefined) return;
    this.#ring.publish(this.#membership.rotation());
    this.#panic();
    const isEmpty = this.#membership.size === 0;
    if (isEmpty === this.#wasEmpty) return;
    this.#wasEmpty = isEmpty;
    this.#announce(isEmpty ? 'disconnect' : 'connect');
    if (!isEmpty) this.#sendHeld();
  }

  #panic(): void {
    const { isPanicking } = this.#membership;
    if (isPanicking === this.#panicked) return;
    this.#panicked = isPanicking;
    if (isPanicking) this.#announce('panic', { pids: this.pids() });
    else this.#announce('calm');
  }

  #accept(message: Message): void {
    if (this.#paused) this.#hold(message);
    else this.#dispatch(message);
  }

  #redirect(message: Message): void {
    this.#redirected++;
    try {
      if (this.#membership.size === 0 && this.#membership.mayGrow) this.#hold(message);
      else this.#accept(message);
    } catch (error) {
      this.#giveUp(message, error);
    }
  }

  #dispatch(message: Message): void {
    for (let tries = this.#membership.size; ; tries--) {
      const pid = this.#rotation.next();
      if (this.#membership.get(pid)?.carry(message)) {
        this.#sent++;
        return;
      }
      if (tries <= 1) this.#refuse('overload');
    }
  }

  #hold(message: Message): void {
    if (!this.#held.add(message)) this.#refuse('overload');
  }

  #sendHeld(): void {
    if (this.#paused || this.#membership.size === 0) return;
    for (const message of this.#held.take()) {
      try {
        this.#dispatch(message);
      } catch (error) {
        this.#giveUp(message, error);
      }
    }
  }

  #giveUpHeld(error: BallermannError): void {
    for (const message of this.#held.take()) this.#giveUp(message, error);
  }

  #giveUp(message: Message, error: unknown): void {
    if (message.kind === 'cast') this.#lostCasts++;
    message.reject(error);
  }

  #pause(): void {
    this.#paused = true;
    this.#resumed = new Promise((resolve) => {
      this.#resolveResumed = resolve;
    });
    if (this.#closed === undefined) this.#ring.pause();
    this.#supervisor.windowOpens();
    this.#announce('pause');
  }

  #resume(): void {
    this.#paused = false;
    if (this.#closed === undefined) this.#ring.resume();
    this.#supervisor.windowEnds();
    this.#resolveResumed();
    this.#sendHeld();
    this.#announce('resume');
  }

  async #untilResumed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#paused) {
      this.#mend();
      await turn(); // or whoever waits would ask again and again where the flag is set at once
    }
    let stop!: () => void;
    const aborted = new Promise<void>((resolve) => {
      stop = resolve;
    });
    signal.addEventListener('abort', stop);
    try {
      await Promise.race([this.#resumed, aborted]);
      signal.throwIfAborted();
      if (this.#closed !== undefined) this.#refuse('empty');
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Some process has written into the ring: it gets what it had from here. */
  #mend(): void {
    if (this.#closed !== undefined) return;
    this.#ring.publish(this.#membership.rotation());
    if (this.#paused) this.#ring.pause();
    else this.#ring.resume();
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
    const windowEnds = this.#paused ? this.#resumed : undefined;
    this.#onClosed();
    this.#membership.leave();
    this.#supervisor.unlimitQueues(this);
    this.#ring.close();
    this.#windows.close(closed);
    this.#giveUpHeld(closed);
    await windowEnds;
    this.#announce('close');
  }

  #refuse(why: Refusal): never {
    if (!this.#isForged(why)) throw this.#refusal(why);
    this.#mend();
    throw this.#refusal('spoiled');
  }

  /** Whether the ring says what this pool, which alone may change it, knows to be untrue. */
  #isForged(why: Refusal): boolean {
    if (this.#closed !== undefined) return false;
    switch (why) {
      case 'paused':
        return !this.#paused;
      case 'empty':
        return this.#membership.size > 0;
      case 'closed':
      case 'spoiled':
        return true;
      default:
        return false;
    }
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
