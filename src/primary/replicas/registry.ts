/** The replicas of all supervisors of this primary, by pid. */

import { noSuchReplica } from '../../errors.js';
import type { ReplicaProcess } from './replica-process.js';

export const replicas = new Map<number, ReplicaProcess>();

/** @throws BallermannError ERR_NO_SUCH_REPLICA. */
export function replicaOf(pid: number): ReplicaProcess {
  const replica = replicas.get(pid);
  if (replica === undefined) throw noSuchReplica(pid);
  return replica;
}

/** For good: its pid may be another replica's by now, where the kernel gave it away before this death was told. */
export function forget(replica: ReplicaProcess): void {
  if (replicas.get(replica.pid) === replica) replicas.delete(replica.pid);
}
