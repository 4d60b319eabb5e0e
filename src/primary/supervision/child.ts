/** One child of a supervisor: the place that a replica has, through all its restarts, until a successor takes it. */

import { performance } from 'node:perf_hooks';
import { deferred } from '../../deferred.js';
import { BallermannError } from '../../errors.js';
import type { ChildState } from '../metrics/supervisor-metrics.js';
import { type ExitInfo, howItEnded } from '../replicas/exit.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import { Backoff, type History, Streak } from './restart-policy.js';
import type { SupervisorSettings } from './supervisor-options.js';

/** One replica in children(). */
export interface ChildInfo {
  /** Its number, 0 to n - 1. Restarts and reloads keep it. In the replica it is `index`. */
  readonly id: number;
  /** Undefined while it waits for a start. */
  readonly pid: number | undefined;
  /** 1 for the first process of this number, 2 for the next, and so on. 0 before the first. */
  readonly incarnation: number;
  readonly state: ChildState;
}

/** A start that is under way or to come: ends with undefined, or with why it failed. */
interface Attempt {
  readonly ended: Promise<BallermannError | undefined>;
  readonly end: (failure?: BallermannError) => void;
}

function newAttempt(): Attempt {
  const { promise, resolve } = deferred<BallermannError | undefined>();
  return { ended: promise, end: resolve };
}

/** What a child and its successor have in common. */
interface Place {
  readonly id: number;
  /** Of the newest process. */
  incarnation: number;
}

export class Child implements History {
  readonly slot: number;
  /** Its failures in a row. */
  readonly streak: Streak;
  /** Of forks that the system refuses: they say nothing of the script. */
  readonly refusals: Backoff;
  /** Of restarts after it has left in order: somebody may ask it to go as soon as it has come. */
  readonly departures: Backoff;
  readonly #place: Place;
  incarnation = 0;
  replica: ReplicaProcess | undefined;
  /** Where the replica writes a diagnostic report when it hangs. */
  report: string | undefined;
  state: ChildState = 'starting';
  /** Why it is to go for good. Undefined while it is to stay. */
  retiredFor: 'stopped' | 'reload' | 'recycle' | undefined;
  /** Its process is to be killed, since its event loop stands still. */
  isHung = false;
  /** Monotonic ms; 0 before it has been up. */
  upSince = 0;
  /** Whether its process has been ready. */
  isReady = false;
  /** Whether its restart has been put off: whoever looks for replicas need not wait for it. */
  isPutOff = false;
  /** Whether a debugger may stop its process: no time limit holds for that. */
  mayBeDebugged = false;
  /** Of the restart, or of the time limit of the start. */
  timer: NodeJS.Timeout | undefined;
  /** Why the current start is taken for failed, where its exit alone would not tell. */
  failure: Error | undefined;
  attempt = newAttempt();
  /** Of a successor: what it does when it is ready. Nothing is left to do then. */
  takeOver: ((replica: ReplicaProcess) => void) | undefined;

  constructor(place: number | Child, slot: number, { backoff, healthyAfter }: SupervisorSettings) {
    this.#place = typeof place === 'number' ? { id: place, incarnation: 0 } : place.#place;
    this.slot = slot;
    this.streak = new Streak(healthyAfter);
    this.refusals = new Backoff(backoff, healthyAfter);
    this.departures = new Backoff(backoff, healthyAfter);
  }

  get id(): number {
    return this.#place.id;
  }

  get info(): ChildInfo {
    return {
      id: this.id,
      pid: this.replica?.pid,
      incarnation: this.incarnation,
      state: this.state,
    };
  }

  get failures(): number {
    return this.streak.failures;
  }

  /** Not to be restarted: closed, resized away, or replaced. */
  get retired(): boolean {
    return this.retiredFor !== undefined;
  }

  /** ms since its process got ready; undefined where it has not. */
  get lived(): number | undefined {
    return this.isReady ? performance.now() - this.upSince : undefined;
  }

  get isHealthy(): boolean {
    return this.state === 'up' && this.streak.isHealthy(this.lived);
  }

  /** Whether it is to take another's place, and is not ready yet. */
  get isSuccessor(): boolean {
    return this.takeOver !== undefined;
  }

  /** Whether some process of it has been ready. One that has not is not tried again. */
  get hasBeenUp(): boolean {
    return this.upSince > 0;
  }

  /**
   * Whether a replica is on its way: a start is under way, waits, or follows the stop that is under way. A successor
   * does not count: there is nobody to wait for where the other one stays until it is ready.
   */
  get isComing(): boolean {
    return this.state !== 'up' && !this.retired && !this.isSuccessor;
  }

  /** Another process begins. */
  markStarting(): void {
    this.incarnation = ++this.#place.incarnation;
    this.state = 'starting';
    this.isReady = false;
    this.isPutOff = false;
    this.isHung = false;
    this.failure = undefined;
  }

  /** Its process is ready. */
  markUp(): void {
    clearTimeout(this.timer);
    this.state = 'up';
    this.isReady = true;
    this.upSince = performance.now();
  }

  /** The replica is being stopped; unless the child is retired, another start follows. */
  markStopping(): void {
    this.state = 'stopping';
    this.attempt = newAttempt();
  }

  /** @throws what the start that is under way fails with. */
  async started(): Promise<void> {
    const failure = await this.attempt.ended;
    if (failure !== undefined) throw failure;
  }

  /** Has `start` called in `delay` ms. */
  restartIn(delay: number, start: () => void): void {
    if (this.state !== 'stopping') this.attempt = newAttempt();
    this.state = 'restarting';
    this.isPutOff = delay > 0;
    this.timer = setTimeout(start, delay);
  }

  /** What the current start is said to have failed with. */
  startFailure(supervisor: string, exit: ExitInfo): BallermannError {
    const { code: exitCode, signal, error } = exit;
    const cause = this.failure ?? error;
    const why = cause === undefined ? '' : `: ${cause.message}`;
    const text = `a replica of '${supervisor}' ${howItEnded(exit)} before it was ready${why}`;
    return new BallermannError('ERR_START_FAILED', text, { cause, exitCode, signal });
  }
}
