/** What the primary tells a replica before it runs a line: one environment variable, taken out at once. */

import type { Serialization } from '../wire/codec.js';
import type { Listen } from '../wire/listening.js';

export const REPLICA_ENV = 'BALLERMANN_REPLICA';

export interface ReplicaEnv {
  /** The replica's slot in the segment. */
  readonly slot: number;
  /** Descriptor of the segment. */
  readonly fd: number;
  readonly serialization: Serialization;
  readonly listen: Listen;
  /** Whether the primary accepts the connections. */
  readonly sticky: boolean;
  /** Pid of the primary. */
  readonly primary: number;
}

/** Undefined in a process that is no replica. Removes the variable, so that no grandchild takes itself for one. */
export function takeReplicaEnv(env: NodeJS.ProcessEnv): ReplicaEnv | undefined {
  const text = env[REPLICA_ENV];
  if (text === undefined) return undefined;
  delete env[REPLICA_ENV];
  return JSON.parse(text) as ReplicaEnv;
}
