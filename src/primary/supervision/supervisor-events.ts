/** What a supervisor tells: its events, for applications, and what its pools learn before those. */

import type { BallermannError } from '../../errors.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import type { RecycleReason } from './supervisor-options.js';

export interface UpEvent {
  /** The child's number; `index` in the replica. */
  readonly id: number;
  readonly pid: number;
  readonly incarnation: number;
}

export interface DownEvent extends UpEvent {
  /** Exit code; null where a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The uncaught error that ended it, or why it was killed before it was ready; undefined where there is neither. */
  readonly error: Error | undefined;
  /** Whether it will be restarted. */
  readonly restart: boolean;
  /** ms until that restart; undefined where there is none. */
  readonly restartIn: number | undefined;
  /** Failures in a row, this one included: starts that did not get ready, and lives shorter than `healthyAfter`. */
  readonly failures: number;
  /** Whether it was asked to go: by close(), resize(), a reload, a limit, or a SIGTERM of its own. */
  readonly expected: boolean;
}

export interface ForkFailedEvent {
  readonly id: number;
  readonly incarnation: number;
  /** The system's: EAGAIN, EMFILE, ENOMEM … */
  readonly error: Error;
  /** ms until the next try; undefined where there is none: a first start, a reload's, or the supervisor ends. */
  readonly retryIn: number | undefined;
}

export interface BlockedEvent {
  readonly id: number;
  readonly pid: number;
  /** For how long the event loop has not turned, as far as the primary has watched. */
  readonly ms: number;
}

export interface HungEvent extends BlockedEvent {
  /** Path of the diagnostic report; undefined where none was asked for, or the replica did not make one in time. */
  readonly report: string | undefined;
}

export interface RecycleEvent {
  readonly id: number;
  readonly pid: number;
  readonly incarnation: number;
  /** The limit that it has reached. */
  readonly reason: RecycleReason;
  /** What it had then: calls, casts and requests; ms; bytes. */
  readonly value: number;
}

export interface SupervisorEvents {
  /** A replica is ready. */
  up: [UpEvent];
  /** A replica is gone, for whatever reason. */
  down: [DownEvent];
  /** The system refused to make a process for a replica. Does not count for `intensity`. */
  forkFailed: [ForkFailedEvent];
  /** Every replica has been replaced, and the old ones are gone. */
  reloaded: [];
  /** A reload has stopped, and why; what it had not replaced yet goes on. */
  reloadFailed: [BallermannError];
  /** A replica has reached a limit and is being replaced. */
  recycle: [RecycleEvent];
  /** Its replacement did not get ready: it stays, and the next try comes a while later. */
  recycleFailed: [BallermannError];
  /** The event loop of a replica has not turned for `blockedAfter` ms: out of every rotation until it does. */
  blocked: [BlockedEvent];
  /** It turns again; `ms` is for how long it did not. A replica that dies or is stopped while blocked has no such event. */
  unblocked: [BlockedEvent];
  /** It has not turned for `hangTimeout` ms and gave no sign of life: it is killed, and a 'down' follows. */
  hung: [HungEvent];
  /** The handler of a cast threw (ERR_REMOTE, with the replica's pid). */
  castFailed: [BallermannError];
  /**
   * ERR_RESTART_INTENSITY: the replicas are being stopped. Like 'error' of Node's emitters it must be listened to: where
   * nobody does, the process says why on stderr and exits with code 1 when they have stopped.
   */
  gaveUp: [BallermannError];
  /** The last replica is gone, after close() or giving up. */
  close: [];
}

/** What a pool learns of its supervisor, before any listener of an event does. */
export interface SupervisorObserver {
  up(replica: ReplicaProcess): void;
  /** An up replica is to be stopped: it gets nothing new. `successor`: who has its place from now on. */
  leaving(replica: ReplicaProcess, successor: ReplicaProcess | undefined): void;
  /** An up replica is blocked now, or no longer is. */
  turned(replica: ReplicaProcess): void;
  down(replica: ReplicaProcess): void;
  /** resize() or reload() has taken effect: all that are up are meant to serve. Resolves when the pool has them. */
  renewed(): Promise<void>;
  /** No replica will come any more. */
  ended(cause: BallermannError): void;
}
