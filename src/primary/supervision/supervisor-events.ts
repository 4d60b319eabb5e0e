/** What a supervisor tells: its events, for applications, and what its pools learn before those. */

import type { BallermannError } from '../../errors.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import type { RecycleReason } from './supervisor-options.js';

export interface UpEvent {
  /** The number of the replica, 0 to n - 1. In the replica it is `index`. */
  readonly id: number;
  readonly pid: number;
  /** 1 for the first process of this number, 2 after the first restart or reload, and so on. */
  readonly incarnation: number;
}

export interface DownEvent extends UpEvent {
  /** The exit code; null if a signal ended the process. */
  readonly code: number | null;
  /** The signal that ended the process; null if it exited. */
  readonly signal: NodeJS.Signals | null;
  /** The uncaught error that ended it, or why it was killed before it was ready. Undefined if there is neither. */
  readonly error: Error | undefined;
  /** Whether it will be restarted. */
  readonly restart: boolean;
  /** ms until the restart. Undefined if there is none. */
  readonly restartIn: number | undefined;
  /** How often it has now failed in a row: starts that did not get ready, and lives shorter than `healthyAfter`. */
  readonly failures: number;
  /** Whether it was asked to go: by close(), resize(), a reload, a recycling, or SIGTERM. */
  readonly expected: boolean;
}

export interface ForkFailedEvent {
  /** The number of the replica that could not be started. */
  readonly id: number;
  readonly incarnation: number;
  /** The error of the system: EAGAIN, EMFILE, ENOMEM … */
  readonly error: Error;
  /** ms until the next try. Undefined if there is none: at a first start, in a reload, or when the supervisor ends. */
  readonly retryIn: number | undefined;
}

export interface BlockedEvent {
  readonly id: number;
  readonly pid: number;
  /** For how many ms the event loop has not turned, as far as the primary has watched. */
  readonly ms: number;
}

export interface HungEvent extends BlockedEvent {
  /** The path of the diagnostic report. Undefined without `hangReports`, or if the replica did not write one in time. */
  readonly report: string | undefined;
}

export interface RecycleEvent {
  readonly id: number;
  readonly pid: number;
  readonly incarnation: number;
  /** The limit that the replica has reached. */
  readonly reason: RecycleReason;
  /** Its value at that moment: a number of messages and requests, ms, or bytes. */
  readonly value: number;
}

/** The events of a supervisor. */
export interface SupervisorEvents {
  /** A replica is ready. */
  up: [UpEvent];
  /** The process of a replica has ended, for whatever reason. The event says why, and when it is restarted. */
  down: [DownEvent];
  /** The system refused to start a process for a replica. This does not count for `intensity`. */
  forkFailed: [ForkFailedEvent];
  /** A reload is done: every replica has been replaced, and the old ones are gone. */
  reloaded: [];
  /** A reload has failed; the error says why. Replicas that were not replaced yet go on. */
  reloadFailed: [BallermannError];
  /** A replica has reached `maxRequests`, `maxAge` or `maxRss`, and is being replaced. */
  recycle: [RecycleEvent];
  /** The replacement of such a replica did not get ready. The old one stays, and a later try follows. */
  recycleFailed: [BallermannError];
  /** The event loop of a replica has not turned for `blockedAfter` ms. The replica is out of every rotation until it does. */
  blocked: [BlockedEvent];
  /** A blocked replica turns again, after `ms`. Not emitted if it dies or is stopped while it is blocked. */
  unblocked: [BlockedEvent];
  /** The event loop of a replica has not turned for `hangTimeout` ms. The replica is killed, and 'down' follows. */
  hung: [HungEvent];
  /**
   * The handler of a cast threw: the error is an ERR_REMOTE with the replica's pid, and its cause is what was thrown. Or a cast of a
   * replica was lost, since it could not be sent on: any other code.
   */
  castFailed: [BallermannError];
  /**
   * The supervisor gives up (ERR_RESTART_INTENSITY) and stops its replicas. If nobody listens for this event, the process
   * writes the reason to stderr, and exits with code 1 when they have stopped.
   */
  gaveUp: [BallermannError];
  /** The last replica is gone, after close() or after giving up. */
  close: [];
}

/** What a pool learns of its supervisor, before any listener of an event does. */
export interface SupervisorObserver {
  up?(replica: ReplicaProcess): void;
  /** An up replica is to be stopped: it gets nothing new. `successor`: who has its place from now on. */
  leaving?(replica: ReplicaProcess, successor: ReplicaProcess | undefined): void;
  /** An up replica is blocked now, or no longer is. */
  turned?(replica: ReplicaProcess): void;
  down?(replica: ReplicaProcess): void;
  /** resize() or reload() has taken effect: all that are up are meant to serve. Resolves when the pool has them. */
  renewed?(): Promise<void>;
  /** A reload was asked for. It settles as that does. */
  reloading?(done: Promise<void>): void;
  /** No replica will come any more. The supervisor's close() also waits for what it returns, which must not reject. */
  ended(cause: BallermannError): unknown;
}
