/** Forks, restarts, resizes and stops the replicas of one script, as an OTP supervisor does its children. */

import { EventEmitter } from 'node:events';
import { performance } from 'node:perf_hooks';
import { BallermannError } from '../errors.js';
import { type Codec, codecs } from '../wire/codec.js';
import type { Request } from '../wire/protocol.js';
import { Child, type ChildInfo } from './child.js';
import { forkReplica } from './fork.js';
import * as listeners from './listeners.js';
import { giveSlotBack, ownSegment, replicas, takeSlots } from './registry.js';
import { type Counters, type ExitInfo, type ReplicaOwner, ReplicaProcess } from './replica-process.js';
import { RestartIntensity, shouldRestart } from './restart-policy.js';
import { checkReplicas, type SupervisorSettings } from './supervisor-options.js';

export interface UpEvent {
  readonly id: number;
  readonly pid: number;
  readonly incarnation: number;
}

export interface DownEvent extends UpEvent {
  /** Exit code; null where a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The uncaught error that ended it, if any. */
  readonly error: Error | undefined;
  /** Whether it will be restarted. */
  readonly restart: boolean;
  /** ms until that restart; undefined where there is none. */
  readonly restartIn: number | undefined;
}

export interface SupervisorEvents {
  /** A replica is ready. */
  up: [UpEvent];
  /** A replica is gone, for whatever reason. */
  down: [DownEvent];
  /** The handler of a cast threw (ERR_REMOTE, with the replica's pid). */
  castFailed: [BallermannError];
  /** ERR_RESTART_INTENSITY: the replicas are being stopped. */
  gaveUp: [BallermannError];
  /** The last replica is gone, after close() or giving up. */
  close: [];
}

/** What a pool learns of its supervisor, before any listener of an event does. */
export interface SupervisorObserver {
  up(replica: ReplicaProcess): void;
  /** An up replica is to be stopped: it gets nothing new. */
  leaving(replica: ReplicaProcess): void;
  down(replica: ReplicaProcess): void;
  /** resize() has taken effect. */
  resized(): void;
  /** No replica will come any more. */
  ended(cause: BallermannError): void;
}

/** Who answers what replicas ask of the primary. */
export interface Relay {
  request(replica: ReplicaProcess, request: Request): void;
  withdraw(replica: ReplicaProcess, id: number): void;
  forget(replica: ReplicaProcess): void;
}

export class Supervisor extends EventEmitter<SupervisorEvents> implements AsyncDisposable {
  readonly name: string;
  /** @internal */
  readonly settings: SupervisorSettings;
  /** @internal */
  readonly counters: Counters = { late: 0, malformed: 0 };
  /** Whether a replica had to be killed because it did not stop in time. @internal */
  disorderly = false;

  readonly #relay: Relay;
  readonly #intensity: RestartIntensity;
  readonly #observers = new Set<SupervisorObserver>();
  readonly #children = new Set<Child>();
  #windows = 0;
  #nextId = 0;
  #ended: BallermannError | undefined;
  #closing: Promise<void> | undefined;
  #resizing: Promise<void> = Promise.resolve();

  /** Made by `supervise`. @internal */
  constructor(settings: SupervisorSettings, relay: Relay) {
    super();
    this.settings = settings;
    this.#relay = relay;
    this.name = settings.name;
    this.#intensity = new RestartIntensity(settings.intensity, settings.period);
  }

  /** Every child, as `supervisor:which_children` lists them: by id, those that wait for a restart included. */
  children(): ChildInfo[] {
    return [...this.#children].map(({ info }) => info);
  }

  /**
   * Sets the number of replicas. Pools take new ones in as soon as all are ready; replicas that go are taken out
   * of rotation first and finish what they run. Calls run one after another.
   * @throws TypeError, RangeError, BallermannError ERR_SEGMENT_FULL, ERR_CLOSED, or ERR_START_FAILED (the new
   * replicas are stopped then, the others stay).
   */
  async resize(replicas: number): Promise<void> {
    const { maxReplicas } = ownSegment().segment.addon.layout;
    const count = checkReplicas('replicas', replicas, maxReplicas);
    const resized = this.#resizing.then(() => this.#resize(count));
    this.#resizing = resized.catch(() => {});
    return resized;
  }

  /**
   * Stops handing out, lets every replica finish what it runs and its shutdown hooks, and ends with the last
   * one; SIGKILL after `shutdown` ms. Never rejects.
   */
  close(): Promise<void> {
    return this.stop('close');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** close(), with the reason that the shutdown hooks are given. @internal */
  stop(reason: string): Promise<void> {
    this.#end(new BallermannError('ERR_CLOSED', `supervisor '${this.name}' is closed`), reason);
    return this.#closing as Promise<void>;
  }

  /** Starts the first replicas. @internal */
  async start(): Promise<void> {
    try {
      await this.#grow(this.settings.replicas);
    } catch (error) {
      await this.stop('start failed');
      throw error;
    }
  }

  /** Why there will be no replicas any more; undefined while there may be. @internal */
  get ended(): BallermannError | undefined {
    return this.#ended;
  }

  /** @internal */
  get codec(): Codec {
    return codecs[this.settings.serialization];
  }

  /** The replicas that are up. @internal */
  up(): ReplicaProcess[] {
    return this.#processes((replica) => replica.state === 'up');
  }

  /** The replicas that may be running something: those that are up or finishing. @internal */
  present(): ReplicaProcess[] {
    return this.#processes((replica) => replica.state === 'up' || replica.state === 'stopping');
  }

  /** Resolves when each start that is now under way or waits has ended: true where all are up. @internal */
  async settled(): Promise<boolean> {
    const coming = [...this.#children].filter(({ isComing }) => isComing);
    const failures = await Promise.all(coming.map(({ attempt }) => attempt.ended));
    return failures.every((failure) => failure === undefined);
  }

  /** A window of some pool opens: until it ends, no server of a replica begins a request. @internal */
  windowOpens(): void {
    this.#setWindows(this.#windows + 1);
  }

  /** @internal */
  windowEnds(): void {
    this.#setWindows(this.#windows - 1);
  }

  /** @internal */
  observe(observer: SupervisorObserver): void {
    this.#observers.add(observer);
  }

  /** @internal */
  unobserve(observer: SupervisorObserver): void {
    this.#observers.delete(observer);
  }

  #setWindows(count: number): void {
    this.#windows = count;
    for (const { replica } of this.#children) if (replica !== undefined) replica.windows = count;
  }

  #processes(fits: (replica: ReplicaProcess) => boolean): ReplicaProcess[] {
    return [...this.#children]
      .map(({ replica }) => replica)
      .filter((replica) => replica !== undefined && fits(replica)) as ReplicaProcess[];
  }

  /** In a tick of its own: what a listener does or throws cannot come between the steps of the supervisor. */
  #announce<Name extends keyof SupervisorEvents>(name: Name, ...args: SupervisorEvents[Name]): void {
    process.nextTick(() => (this as EventEmitter).emit(name, ...args));
  }

  #tell(tell: (observer: SupervisorObserver) => void): void {
    for (const observer of this.#observers) tell(observer);
  }

  async #resize(count: number): Promise<void> {
    if (this.#ended) throw this.#ended;
    const current = [...this.#children].filter(({ retired }) => !retired);
    if (count > current.length) await this.#grow(count - current.length);
    else await this.#retire(current.slice(count), 'resize');
    this.#tell((observer) => observer.resized());
  }

  async #grow(count: number): Promise<void> {
    const { backoff, period } = this.settings;
    const added = takeSlots(count).map((slot) => new Child(this.#nextId++, slot, backoff, period));
    for (const child of added) this.#children.add(child);
    for (const child of added) this.#spawn(child);
    try {
      await Promise.all(added.map((child) => child.started()));
    } catch (failure) {
      await this.#retire(added, 'start failed');
      throw failure;
    }
    if (this.#ended) throw this.#ended;
  }

  async #retire(children: readonly Child[], reason: string): Promise<void> {
    await Promise.all(
      children.map(async (child) => {
        child.retired = true;
        clearTimeout(child.timer);
        child.attempt.end(this.#ended ?? new BallermannError('ERR_CLOSED', `child ${child.id} is retired`));
        if (child.replica === undefined) this.#remove(child);
        else await this.#stop(child, child.replica, reason);
      }),
    );
  }

  async #stop(child: Child, replica: ReplicaProcess, reason: string): Promise<void> {
    const wasUp = replica.state === 'up';
    const gone = replica.stop(reason, this.settings.shutdown);
    if (wasUp) {
      child.stopping();
      this.#tell((observer) => observer.leaving(replica)); // no longer among up(): a refresh leaves it out
    }
    await gone;
    if (replica.killed) this.disorderly = true;
  }

  /** Idempotent: gone children are not removed twice. */
  #remove(child: Child): void {
    if (this.#children.delete(child)) giveSlotBack(child.slot);
    if (this.#children.size === 0) listeners.release(this);
  }

  #spawn(child: Child): void {
    const { segment, fd } = ownSegment();
    child.incarnation++;
    child.state = 'starting';
    child.failure = undefined;
    try {
      const worker = forkReplica(this.settings, child.slot, fd);
      // Before the replica's own listeners: its death is known to the sockets before the child is removed.
      const { slot, incarnation } = child;
      const { listen, sticky } = this.settings;
      if (listen === 'balanced') listeners.serve({ worker, owner: this, place: slot, sticky }, segment);
      const replica = new ReplicaProcess(
        worker,
        { segment, slot, incarnation, codec: this.codec, windows: this.#windows },
        this.#owner,
        this.counters,
      );
      child.replica = replica;
      if (replica.pid !== 0) replicas.set(replica.pid, replica);
      if (!this.settings.waitReady) replica.readyWhenOnline();
    } catch (error) {
      // The system refused the fork, now or in an 'error' event to come: the same kind of failed start.
      child.timer = setTimeout(
        () =>
          this.#childExited(child, undefined, {
            code: null,
            signal: null,
            error: error as Error,
          }),
        0,
      );
      return;
    }
    child.timer = setTimeout(() => setImmediate(() => this.#tooLate(child)), this.settings.readyTimeout);
  }

  /** One turn after the time limit, so that a 'ready' which had arrived by then has been read. */
  #tooLate(child: Child): void {
    if (child.state !== 'starting') return;
    child.failure = new Error(`not ready within readyTimeout, ${this.settings.readyTimeout} ms`);
    child.replica?.kill();
  }

  readonly #owner: ReplicaOwner = {
    ready: (replica) => {
      const child = this.#childOf(replica);
      if (child === undefined) return;
      clearTimeout(child.timer);
      child.state = 'up';
      child.upSince = performance.now();
      child.failedStarts = 0;
      this.#tell((observer) => observer.up(replica));
      child.attempt.end();
      this.#announce('up', {
        id: child.id,
        pid: replica.pid,
        incarnation: child.incarnation,
      });
    },
    exited: (replica, exit) => {
      replicas.delete(replica.pid);
      this.#relay.forget(replica);
      const child = this.#childOf(replica);
      if (child !== undefined) this.#childExited(child, replica, exit);
    },
    leaving: (replica, reason) => {
      const child = this.#childOf(replica);
      if (child !== undefined && replica.state !== 'stopping') void this.#stop(child, replica, reason);
    },
    castFailed: (error) => this.#announce('castFailed', error),
    requested: (replica, request) => this.#relay.request(replica, request),
    withdrawn: (replica, id) => this.#relay.withdraw(replica, id),
  };

  #childOf(replica: ReplicaProcess): Child | undefined {
    return [...this.#children].find((child) => child.replica === replica);
  }

  /** @param replica undefined where there was never a process. */
  #childExited(child: Child, replica: ReplicaProcess | undefined, exit: ExitInfo): void {
    clearTimeout(child.timer);
    child.replica = undefined;
    const started = child.state !== 'starting';
    const first = child.incarnation === 1 && !started;
    const delay = first ? undefined : this.#restartDelay(child, started, exit);
    if (!started) child.attempt.end(child.startFailure(this.name, exit));
    if (delay === undefined) {
      child.attempt.end();
      this.#remove(child);
    } else child.restartIn(delay, () => this.#spawn(child));
    if (replica === undefined) return;
    this.#tell((observer) => observer.down(replica)); // who refreshes now finds the restart under way
    const { id, incarnation } = child;
    const { pid } = replica;
    const { code, signal, error } = exit;
    const restart = delay !== undefined;
    this.#announce('down', {
      id,
      pid,
      incarnation,
      code,
      signal,
      error,
      restart,
      restartIn: delay,
    });
  }

  /** ms until the child's restart; undefined where it is not restarted. Gives up where that is one too many. */
  #restartDelay(child: Child, started: boolean, exit: ExitInfo): number | undefined {
    if (child.retired || this.#ended || !shouldRestart(this.settings.restart, exit.code)) return undefined;
    const now = performance.now();
    if (!started) child.failedStarts++;
    if (this.#intensity.exceededBy(now) || child.failedStarts > this.settings.intensity) {
      this.#giveUp(exit, child.failedStarts);
      return undefined;
    }
    return child.backoff.next(started ? now - child.upSince : 0);
  }

  #giveUp(exit: ExitInfo, failedStarts: number): void {
    const { intensity, period } = this.settings;
    const text =
      failedStarts > intensity
        ? `a replica did not get ready in ${failedStarts} starts in a row`
        : `more than ${intensity} restarts within ${period} ms`;
    const cause = exit.error;
    const error = new BallermannError('ERR_RESTART_INTENSITY', `supervisor '${this.name}' gave up: ${text}`, {
      cause,
    });
    this.#end(error, 'restart intensity');
    this.#announce('gaveUp', error);
  }

  #end(cause: BallermannError, reason: string): void {
    if (this.#closing !== undefined) return;
    this.#ended = cause;
    this.#tell((observer) => observer.ended(cause));
    this.#closing = this.#retire([...this.#children], reason).then(() => {
      this.#announce('close');
    });
  }
}
