/** Forks, restarts, resizes and stops the replicas of one script, as an OTP supervisor does its children. */

import { EventEmitter } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Codec, codecs } from '../../channel/codec.js';
import type { RequestEntry } from '../../channel/protocol.js';
import { BallermannError } from '../../errors.js';
import { type ReloadTrace, reloads, traced } from '../../tracing.js';
import * as listeners from '../listening/listeners.js';
import { takeReport } from '../liveness/hang-report.js';
import { Watch } from '../liveness/watch.js';
import { exitReason } from '../metrics/exit-reason.js';
import type { PoolMetrics, SupervisorMetrics } from '../metrics/supervisor-metrics.js';
import { SupervisorRecord } from '../metrics/supervisor-record.js';
import { supervisors } from '../metrics/supervisors.js';
import { type ExitInfo, howItEnded } from '../replicas/exit.js';
import { forget } from '../replicas/registry.js';
import type { Counters } from '../replicas/replica-channel.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import { ownSegment, takeSlots } from '../replicas/slots.js';
import { Child, type ChildInfo } from './child.js';
import { Children } from './children.js';
import { mayBeDebugged } from './exec-argv.js';
import type { Log } from './log.js';
import { oneLine } from './log-lines.js';
import { hasLimits, Recycling } from './recycling.js';
import { type ReloadOptions, reload, reloadChanges } from './reload.js';
import type { Crew } from './replacement.js';
import { Reports } from './reports.js';
import { backoffDelay, Patience, shouldRestart } from './restart-policy.js';
import { SlotSettings } from './slot-settings.js';
import { limitStart } from './start-limit.js';
import { type ProcessOwner, startProcess } from './start-process.js';
import { StartQueue } from './start-queue.js';
import type { BlockedEvent, SupervisorEvents, SupervisorObserver } from './supervisor-events.js';
import { checkReplicas, type SupervisorSettings } from './supervisor-options.js';

/** ms within which all processes of a group have got the signal that was sent to it. */
const ONE_SIGNAL = 100;

/** What a supervisor needs of the primary that it is in. */
export interface Host {
  /** Who answers what replicas ask of the primary. */
  readonly relay: {
    request(replica: ReplicaProcess, request: RequestEntry): void;
    withdraw(replica: ReplicaProcess, id: number): void;
    forget(replica: ReplicaProcess): void;
  };
  /** The supervisor has given up, and nobody listens for it. */
  gaveUpUnheard(supervisor: Supervisor): void;
}

/**
 * The replicas of one script, as `supervise` starts them. As an async disposable it is closed at the end of an `await using`
 * block.
 */
export class Supervisor extends EventEmitter<SupervisorEvents> implements AsyncDisposable {
  readonly name: string;
  /** Those of the next start; a reload changes them when it has succeeded. @internal */
  settings: SupervisorSettings;
  /** @internal */
  readonly counters: Counters = { late: 0, malformed: 0 };
  /** Whether a replica had to be killed at the end because it did not stop in time. @internal */
  disorderly = false;
  /** @internal */
  readonly reports: Reports;
  /** Each is called before close() resolves: the end of what lasts as long as the supervisor does. @internal */
  readonly attached = new Set<() => void>();
  /** Those that are not closed. @internal */
  readonly pools = new Set<{ metrics(): PoolMetrics }>();
  /** @internal */
  adminUrl: URL | undefined;

  readonly #host: Host;
  readonly #patience: Patience;
  readonly #watch: Watch;
  readonly #observers = new Set<SupervisorObserver>();
  readonly #children = new Children((slot) => listeners.release(slot));
  /** For its pools, which open windows and limit queues. @internal */
  readonly slotSettings = new SlotSettings(() => this.#children.replicas());
  readonly #starts: StartQueue;
  readonly #record: SupervisorRecord;
  #ended: BallermannError | undefined;
  #closing: Promise<void> | undefined;
  #recycling: Recycling | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  /** Made by `supervise`. @internal */
  constructor(settings: SupervisorSettings, host: Host) {
    super();
    this.reports = new Reports(this, settings);
    this.settings = { ...settings, sticky: this.reports.safely(settings.sticky) };
    this.#host = host;
    this.name = settings.name;
    this.#patience = new Patience(settings.intensity);
    this.#starts = new StartQueue(settings.startConcurrency);
    this.#record = new SupervisorRecord(settings.name);
    supervisors.add(this);
    this.#watch = new Watch(settings, {
      blocked: (replica, ms) => this.#setBlocked(replica, true, ms),
      unblocked: (replica, ms) => this.#setBlocked(replica, false, ms),
      hung: (replica, ms) => this.#hung(replica, ms),
    });
  }

  /** Where the admin server listens, as http://127.0.0.1:9090/. Undefined without the option `admin`. */
  get admin(): URL | undefined {
    return this.adminUrl;
  }

  /**
   * Lists every replica by its number, as supervisor:which_children does, also those that wait for a restart. While a replica
   * is being replaced, two processes have its number.
   */
  children(): ChildInfo[] {
    return this.#children.infos();
  }

  /**
   * Shows the figures of the supervisor, its replicas and its pools. Any number of readers may call it, as often as they like:
   * counters go on, and nobody resets them. Works after close(), too.
   */
  metrics(): SupervisorMetrics {
    const { counters, pools } = this;
    return this.#record.snapshot({ places: this.#children, pools, counters });
  }

  /**
   * Sets the number of replicas. Pools take new replicas in when all of them are ready. Replicas that go leave the rotation
   * first and finish what they run. New replicas get the lowest free numbers, and those with the highest numbers go. If a
   * lower one is just being restarted, the resize waits for it, and stops it instead if it does not get ready. Resizes and
   * reloads run one after another, in the order of the calls.
   * @throws TypeError, RangeError for a wrong argument. BallermannError: ERR_SEGMENT_FULL, ERR_CLOSED, ERR_START_FAILED: as
   * many stay as before then. The new ones are stopped, but for those that are up while older ones have died and do not
   * get ready.
   */
  async resize(replicas: number): Promise<void> {
    const { maxReplicas } = ownSegment().segment.addon.layout;
    const count = checkReplicas('replicas', replicas, maxReplicas);
    return this.#inTurn(() => this.#resize(count));
  }

  /**
   * Replaces every replica, `maxUnavailable` at a time. A new replica starts, and when it is ready it takes the old one's
   * place in every rotation in one step. Then the old one finishes what it runs and goes. Resolves when the last old one is
   * gone and every pool has been refreshed. From then on, restarts and resizes use the new options.
   *
   * If a new replica does not get ready, or dies before the reload is done, the reload stops there. Old replicas that are
   * left stay, new ones stay too, and every later start uses the old options. The event 'reloadFailed' is emitted. Nothing
   * of this counts for `intensity`.
   * @throws TypeError, RangeError for a wrong option. BallermannError: ERR_START_FAILED, ERR_SEGMENT_FULL (a replica that is
   * being replaced needs a second slot), ERR_CLOSED, ERR_RESTART_INTENSITY.
   */
  async reload(options: ReloadOptions = {}): Promise<void> {
    const { changes, maxUnavailable } = reloadChanges(options);
    const done = this.#tracedReload(changes, maxUnavailable);
    this.#tell((observer) => observer.reloading?.(done));
    return done;
  }

  #tracedReload(changes: Partial<SupervisorSettings>, maxUnavailable: number): Promise<void> {
    if (!reloads.hasSubscribers) return this.#reload(changes, maxUnavailable);
    const trace: ReloadTrace = { supervisor: this.name, maxUnavailable, begunAt: undefined, replaced: [] };
    return traced(reloads, trace, () => this.#reload(changes, maxUnavailable, trace));
  }

  async #reload(
    changes: Partial<SupervisorSettings>,
    maxUnavailable: number,
    trace?: ReloadTrace,
  ): Promise<void> {
    await this.#inTurn(async () => {
      const record = this.#record.reloads;
      const begunAt = performance.now();
      let succeeded = false;
      record.began(begunAt);
      if (trace !== undefined) trace.begunAt = begunAt;
      try {
        this.settings = await reload(this.#crew, { ...this.settings, ...changes }, maxUnavailable, trace);
        succeeded = true;
      } finally {
        record.ended(succeeded, performance.now());
      }
    });
    await Promise.all([...this.#observers].map((observer) => observer.renewed?.()));
  }

  /**
   * Stops every replica: each finishes what it runs, runs its shutdown hooks and exits. After `shutdown` ms it is killed by
   * SIGKILL. Resolves when the last one is gone. Never rejects.
   */
  close(): Promise<void> {
    return this.stop('close');
  }

  /** As close(). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** close(), with the reason that the shutdown hooks are given. @internal */
  stop(reason: string): Promise<void> {
    this.#end(new BallermannError('ERR_CLOSED', `supervisor '${this.name}' is closed`), reason);
    return this.#closing as Promise<void>;
  }

  /** Starts the first replicas, and looks after them from then on. @internal */
  async start(): Promise<void> {
    try {
      await this.#inTurn(() => this.#grow(this.settings.replicas));
      this.#record.state = 'running';
      if (hasLimits(this.settings.recycle)) this.#recycling = new Recycling(this.#crew, () => this.settings);
    } catch (error) {
      if (this.#record.state === 'starting') this.#record.state = 'failed';
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

  /** How many replicas there are to be, as resize() and what has ended for good have left it. @internal */
  get size(): number {
    return this.#children.staying().length;
  }

  /** The replicas that are up. @internal */
  up(): ReplicaProcess[] {
    return this.#children.replicas(({ state }) => state === 'up');
  }

  /** The replicas that may be running something: those that are up or finishing, and those that serve too early. @internal */
  present(): ReplicaProcess[] {
    return this.#children.replicas((replica) => replica.mayRunSomething);
  }

  /** Resolves when each start that is now under way or waits has ended: true where all are up. @internal */
  settled(): Promise<boolean> {
    return this.#children.settled();
  }

  /** @internal */
  observe(observer: SupervisorObserver): void {
    this.#observers.add(observer);
  }

  /** @internal */
  unobserve(observer: SupervisorObserver): void {
    this.#observers.delete(observer);
  }

  /** @internal */
  get log(): Log {
    return this.reports.log;
  }

  #tell(tell: (observer: SupervisorObserver) => void): void {
    for (const observer of this.#observers) tell(observer);
  }

  /** Runs `task` when all that was asked for before has ended: starts, resizes, reloads. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(task);
    this.#turn = done.catch(() => {});
    return done;
  }

  async #resize(count: number): Promise<void> {
    if (this.#ended) throw this.#ended;
    const current = this.#children.staying();
    if (count > current.length) await this.#grow(count - current.length);
    else if (count < current.length) await this.#shrink(current.slice(0, count), 'resize');
    this.#tell((observer) => observer.renewed?.());
  }

  /** @param kept they stay if they are up or get ready now; else as many others do that are up. */
  async #shrink(kept: readonly Child[], reason: string): Promise<void> {
    await Promise.all(
      kept.filter(({ isComing, isPutOff }) => isComing && !isPutOff).map(({ attempt }) => attempt.ended),
    );
    if (this.#ended) throw this.#ended;
    await this.#retire(inOrderOfStay(this.#children.staying()).slice(kept.length), reason);
  }

  async #grow(count: number): Promise<void> {
    const ids = this.#children.freeIds(count);
    const added = takeSlots(count).map((slot, i) => new Child(ids[i] as number, slot, this.settings));
    for (const child of added) this.#children.add(child);
    for (const child of added) this.#spawn(child);
    try {
      await Promise.all(added.map((child) => child.started()));
    } catch (failure) {
      await this.#takeBack(added);
      await ownSignal(failure);
      throw failure;
    }
    if (this.#ended) throw this.#ended;
  }

  /** As many stay as before. Who is up stays in the place of an older one that has died meanwhile and does not get ready. */
  async #takeBack(added: readonly Child[]): Promise<void> {
    const older = this.#children.staying().filter((child) => !added.includes(child));
    const notUp = added.filter(({ state }) => state !== 'up');
    const reason = 'start failed';
    await Promise.all([this.#retire(notUp, reason), this.#shrink(older, reason)]);
    if (added.some(({ retired }) => !retired)) this.#tell((observer) => observer.renewed?.());
  }

  /** For those who replace replicas. */
  readonly #crew: Crew = {
    ended: () => this.#ended,
    staying: () => this.#children.staying(),
    begin: (child, settings) => {
      this.#children.add(child);
      this.#spawn(child, settings);
    },
    retire: (children, reason, successor) => this.#retire(children, reason, successor),
    inTurn: (task) => this.#inTurn(task),
    announce: (name, ...args) => this.reports.announce(name, ...args),
  };

  /** @param successor has the place now: no start is missed. */
  async #retire(children: readonly Child[], reason: string, successor?: ReplicaProcess): Promise<void> {
    const failure =
      this.#ended ??
      new BallermannError(
        'ERR_CLOSED',
        `supervisor '${this.name}' stopped a replica that was starting (${reason})`,
      );
    this.#starts.left(...children.filter(({ replica }) => replica === undefined));
    const why = successor === undefined ? 'stopped' : reason === 'reload' ? 'reload' : 'recycle';
    await Promise.all(
      children.map(async (child) => {
        child.retiredFor ??= why;
        if (why !== 'stopped') this.#record.tallies.of(child.id).restarted(why);
        clearTimeout(child.timer);
        child.attempt.end(successor === undefined ? failure : undefined);
        if (child.replica === undefined) this.#children.remove(child);
        else await this.#stop(child, child.replica, reason, successor);
      }),
    );
  }

  async #stop(
    child: Child,
    replica: ReplicaProcess,
    reason: string,
    successor?: ReplicaProcess,
  ): Promise<void> {
    const wasUp = replica.state === 'up';
    const stopped = replica.stop(reason, this.settings.shutdown);
    if (wasUp) {
      child.markStopping();
      this.#watch.remove(replica);
      this.#tell((observer) => observer.leaving?.(replica, successor)); // no longer among up(): a refresh leaves it out
    }
    await stopped;
    if (!replica.killed) return;
    if (this.#ended) this.disorderly = true;
    if (replica.state !== 'dead') return; // it is stuck
    this.reports.killed({ id: child.id, pid: replica.pid }, this.settings.shutdown);
  }

  /** In its turn: so many start at a time. */
  #spawn(child: Child, settings = this.settings): void {
    this.#starts.enter(child, () => this.#start(child, settings));
  }

  #start(child: Child, settings: SupervisorSettings): void {
    child.markStarting();
    child.mayBeDebugged = mayBeDebugged(settings.execArgv, { ...process.env, ...settings.env });
    child.replica = startProcess(child, settings, this.#owner, (error) => this.#refused(child, error));
    if (child.replica !== undefined) this.#record.tallies.begin(child.id, child.replica);
    if (child.replica === undefined || child.mayBeDebugged) return;
    limitStart(child, settings, this.reports);
  }

  readonly #owner: ProcessOwner = {
    counters: this.counters,
    slotSettings: this.slotSettings,
    ready: (replica) => this.#withChildOf(replica, (child) => this.#ready(child, replica)),
    exited: (replica, exit) => {
      forget(replica);
      this.#watch.remove(replica);
      this.#record.tallies.end(replica);
      this.#host.relay.forget(replica);
      this.#withChildOf(replica, (child) => this.#childExited(child, replica, exit));
    },
    stuck: (replica) => this.#withChildOf(replica, (child) => this.reports.stuck(child)),
    leaving: (replica, reason) => {
      if (replica.state !== 'stopping')
        this.#withChildOf(replica, (child) => void this.#stop(child, replica, reason));
    },
    castFailed: (error) => this.reports.announce('castFailed', error),
    dropped: (replica, what) => this.#withChildOf(replica, (child) => this.reports.dropped(child, what)),
    requested: (replica, request) => this.#host.relay.request(replica, request),
    withdrawn: (replica, id) => this.#host.relay.withdraw(replica, id),
  };

  /** Nothing is to be done where the child is gone: it was retired, and stuck or refused. */
  #withChildOf(replica: ReplicaProcess, act: (child: Child) => void): void {
    const child = this.#children.of(replica);
    if (child !== undefined) act(child);
  }

  #ready(child: Child, replica: ReplicaProcess): void {
    child.markUp();
    if (!child.mayBeDebugged) this.#watch.add(replica);
    child.takeOver?.(replica);
    child.takeOver = undefined;
    this.#tell((observer) => observer.up?.(replica));
    child.attempt.end();
    this.reports.announce('up', {
      id: child.id,
      pid: replica.pid,
      incarnation: child.incarnation,
    });
    this.#starts.left(child);
  }

  #setBlocked(replica: ReplicaProcess, blocked: boolean, ms: number): void {
    this.#withChildOf(replica, (child) => {
      replica.blocked = blocked;
      this.#tell((observer) => observer.turned?.(replica));
      this.reports.announce(blocked ? 'blocked' : 'unblocked', blockedEvent(child, replica, ms));
    });
  }

  #hung(replica: ReplicaProcess, ms: number): void {
    this.#withChildOf(replica, (child) => {
      const event = blockedEvent(child, replica, ms);
      const end = (report?: string): void => {
        child.isHung = true;
        this.reports.announce('hung', { ...event, report });
        replica.kill();
      };
      if (child.report === undefined) end();
      else void takeReport(replica, child.report).then(end);
    });
  }

  /**
   * The system refused the fork. That says nothing of the script, and a supervisor that gave up over it would stop the
   * replicas that are well: so it does not count for `intensity`, and is tried again until it succeeds.
   */
  #refused(child: Child, error: Error): void {
    if (!this.#children.has(child)) return;
    const { id, incarnation } = child;
    const mayRetry = child.hasBeenUp && !child.retired && !this.#ended;
    const retryIn = mayRetry ? child.refusals.next(0) : undefined;
    child.attempt.end(child.startFailure(this.name, { code: null, signal: null, error }));
    this.#startAgain(child, retryIn);
    this.reports.announce('forkFailed', { id, incarnation, error, retryIn });
    this.#starts.left(child);
  }

  #childExited(child: Child, replica: ReplicaProcess, exit: ExitInfo): void {
    clearTimeout(child.timer);
    child.replica = undefined;
    const { id, incarnation, isReady, retired } = child; // giving up retires all
    const left = replica.wasAskedToLeave && exit.code === 0;
    if (left) child.streak.left(child.lived);
    else child.streak.ended(child.lived);
    const delay = child.hasBeenUp ? this.#restartDelay(child, exit, left) : undefined;
    if (!isReady) child.attempt.end(child.startFailure(this.name, exit));
    this.#startAgain(child, delay);
    this.#tell((observer) => observer.down?.(replica)); // who refreshes now finds the restart under way
    this.#note(child, replica, exit, delay !== undefined);
    const { code, signal } = exit;
    this.reports.announce('down', {
      id,
      pid: replica.pid,
      incarnation,
      code,
      signal,
      error: child.failure ?? exit.error,
      restart: delay !== undefined,
      restartIn: delay,
      failures: child.failures,
      expected: retired || left || (code === 0 && delay === undefined),
    });
    this.#starts.left(child);
  }

  /** For metrics(). */
  #note(child: Child, { wasAskedToLeave }: ReplicaProcess, exit: ExitInfo, restarts: boolean): void {
    const { id, isHung: hung, isReady: wasReady, retiredFor: retired } = child;
    const reason = exitReason(exit, { retired, wasAskedToLeave, hung, wasReady });
    const { code, signal } = exit;
    const tally = this.#record.tallies.of(id);
    tally.lastExit = { code, signal, reason, at: Date.now() };
    if (restarts && reason !== 'stopped') tally.restarted(reason);
  }

  /** @param delay ms; undefined: never. */
  #startAgain(child: Child, delay: number | undefined): void {
    if (delay === undefined) {
      child.attempt.end();
      this.#children.remove(child);
    } else child.restartIn(delay, () => this.#spawn(child));
  }

  /** ms until the child's restart; undefined where it is not restarted. Gives up where that is one too many. */
  #restartDelay(child: Child, exit: ExitInfo, left: boolean): number | undefined {
    if (child.retired || this.#ended || !shouldRestart(this.settings.restart, exit.code)) return undefined;
    const { failedStarts } = child.streak;
    const why = this.#patience.endedBy(failedStarts, left, this.#children.staying(), performance.now());
    if (why === undefined && left) return child.departures.next(child.lived ?? 0);
    if (why === undefined) return backoffDelay(child.failures - 1, this.settings.backoff);
    this.#record.state = 'failed';
    this.#giveUp(why, { ...exit, error: child.failure ?? exit.error });
    return undefined;
  }

  #giveUp(why: string, exit: ExitInfo): void {
    const cause = exit.error;
    const last = cause === undefined ? howItEnded(exit) : `failed with ${cause.name}: ${cause.message}`;
    const text = `gave up: ${why}; the last one ${oneLine(last)}`;
    const error = new BallermannError('ERR_RESTART_INTENSITY', `supervisor '${this.name}' ${text}`, {
      cause,
    });
    this.#end(error, 'restart intensity');
    const isHeard = this.reports.gaveUp(text, error);
    if (!isHeard) process.nextTick(() => this.#host.gaveUpUnheard(this));
  }

  #end(cause: BallermannError, reason: string): void {
    if (this.#closing !== undefined) return;
    this.#ended = cause;
    if (this.#record.state !== 'failed') this.#record.state = 'closing';
    this.#recycling?.stop();
    const left = [...this.#observers].map((observer) => observer.ended(cause));
    this.#closing = Promise.all([this.#retire([...this.#children], reason), ...left]).then(() => {
      for (const end of this.attached) end();
      this.#record.closed();
      supervisors.delete(this);
      this.reports.announce('close');
    });
  }
}

/** Those that serve first: where some are just being restarted, a resize must not leave those alone. */
function inOrderOfStay(children: readonly Child[]): Child[] {
  return [...children].sort((a, b) => Number(b.state === 'up') - Number(a.state === 'up'));
}

/**
 * A signal to the whole group, as from a terminal, ends a replica that cannot listen for it yet. The primary may see
 * that end before it reads its own signal, which has more to say: it is for an orderly end, and no failed start.
 */
async function ownSignal(failure: unknown): Promise<void> {
  const signal = failure instanceof BallermannError ? failure.signal : undefined;
  if (signal === 'SIGINT' || signal === 'SIGTERM') await sleep(ONE_SIGNAL);
}

function blockedEvent({ id }: Child, { pid }: ReplicaProcess, ms: number): BlockedEvent {
  return { id, pid, ms: Math.round(ms) };
}
