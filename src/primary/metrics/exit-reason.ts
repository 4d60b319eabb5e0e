/** Why a process of a supervisor has ended. */

import type { ExitInfo } from '../replicas/exit.js';
import type { ExitReason, RestartReason } from './supervisor-metrics.js';

/** What is known of its end besides how it ended. */
export interface Ending {
  /** Why its supervisor had it go; undefined where it did not. */
  readonly retired: 'stopped' | 'reload' | 'recycle' | undefined;
  /** It was asked to go, by SIGTERM or by a function of node:cluster. */
  readonly wasAskedToLeave: boolean;
  /** It was killed because its event loop stood still. */
  readonly hung: boolean;
  /** It has been ready. */
  readonly wasReady: boolean;
}

/** By whoever began it: a replica that is stopped and crashes meanwhile was stopped. */
export function exitReason(exit: ExitInfo, { retired, wasAskedToLeave, hung, wasReady }: Ending): ExitReason {
  return retired ?? (wasAskedToLeave ? 'requested' : ownReason(exit, hung, wasReady));
}

function ownReason({ code, signal, error }: ExitInfo, hung: boolean, wasReady: boolean): RestartReason {
  if (hung) return 'hung';
  if (!wasReady) return 'startFailed';
  if (error !== undefined) return 'crash';
  if (signal !== null) return 'signal';
  return code === 0 ? 'exit' : 'crash';
}
