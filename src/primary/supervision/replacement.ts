/** One replica in the place of another: the new one first, and the old one goes when the new one is ready. */

import { offAbort, onAbort } from '../../aborts.js';
import { deferred } from '../../deferred.js';
import type { BallermannError } from '../../errors.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import { takeSlots } from '../replicas/slots.js';
import { Child } from './child.js';
import type { SupervisorEvents } from './supervisor-events.js';
import type { SupervisorSettings } from './supervisor-options.js';

/** What a supervisor lets those do who replace its replicas. */
export interface Crew {
  /** Why there will be no replicas any more; undefined while there may be. */
  ended(): BallermannError | undefined;
  /** The children that are to stay, by id. */
  staying(): Child[];
  /** A new child, which starts now. */
  begin(child: Child, settings: SupervisorSettings): void;
  /** Has children go in an orderly way; resolves when their processes are gone. @param successor has the place now. */
  retire(children: readonly Child[], reason: string, successor?: ReplicaProcess): Promise<void>;
  /** Runs `task` when what was asked for before has ended. */
  inTurn<T>(task: () => Promise<T>): Promise<T>;
  announce<Name extends keyof SupervisorEvents>(name: Name, ...args: SupervisorEvents[Name]): void;
}

/**
 * Starts a new replica, lets it take the child's place when it is ready, and then has the old one leave. Resolves
 * with the new one when the old one is gone.
 * @param signal aborted: the new one is given up, unless it has taken over already.
 * @throws BallermannError ERR_START_FAILED, ERR_SEGMENT_FULL, or why the supervisor has ended; no process is left
 * of the new one then, and the old one is as it was.
 */
export async function replace(
  crew: Crew,
  child: Child,
  settings: SupervisorSettings,
  reason: string,
  signal?: AbortSignal,
): Promise<ReplicaProcess> {
  const ended = crew.ended();
  if (ended !== undefined) throw ended;
  const [slot] = takeSlots(1) as [number];
  const successor = new Child(child, slot, settings);
  const handedOver = deferred<ReplicaProcess>();
  successor.takeOver = (replica) => {
    void crew.retire([child], reason, replica).then(() => handedOver.resolve(replica));
  };
  const giveUp = (): Promise<void> => crew.retire([successor], `${reason} failed`);
  const aborted = (): void => {
    if (successor.isSuccessor) void giveUp();
  };
  if (signal !== undefined) onAbort(signal, aborted);
  crew.begin(successor, settings);
  try {
    await successor.started();
  } catch (failure) {
    await giveUp(); // resolves when nothing is left of it
    throw failure;
  } finally {
    if (signal !== undefined) offAbort(signal, aborted);
  }
  return handedOver.promise;
}
