/** What the primary tells a replica before it runs a line: one environment variable, taken out at once. */

import type { Serialization } from './codec.js';
import type { Listen } from './listening.js';
import type { WaitReady } from './readiness.js';

export const REPLICA_ENV = 'BALLERMANN_REPLICA';

/** The number of the replica's child. It stays there: the script, its threads and the processes that it starts may read it. */
export const INDEX_ENV = 'BALLERMANN_INDEX';

export interface ReplicaEnv {
  /** The name of the replica's supervisor. */
  readonly supervisor: string;
  /** The replica's slot in the segment. */
  readonly slot: number;
  /** Descriptor of the segment. */
  readonly fd: number;
  /** Descriptor of the preload's text, and the file that it was read from: for src/replica/boot.cts. */
  readonly preload: { readonly fd: number; readonly file: string };
  /** Where the addon is to be loaded from: a descriptor, which stays open for worker threads, or its file. */
  readonly addon: string;
  /** Descriptors of the channel: its memory, where the replica is rung, and where it rings. */
  readonly channel: { readonly memory: number; readonly ear: number; readonly bell: number };
  readonly serialization: Serialization;
  /** Whether the primary wants to know how much memory the replica has. */
  readonly watchRss: boolean;
  /** Where to write a diagnostic report when the primary asks for one; undefined where it never does. */
  readonly report?: string | undefined;
  readonly waitReady: WaitReady;
  readonly listen: Listen;
  /** Whether the primary accepts the connections. */
  readonly sticky: boolean;
  /** Descriptor of the pipe that ends with the primary. */
  readonly lifeline: number;
  /** ms from the order to stop until SIGKILL; null: there is no limit. JSON has no word for Infinity. */
  readonly shutdown: number | null;
  /** Requests of servers that are held at most. */
  readonly maxHeldRequests: number;
  /** ms that one of them is held at most. */
  readonly maxHoldTime: number;
}

/** Undefined in a process that is no replica. Removes the variable, so that no grandchild takes itself for one. */
export function takeReplicaEnv(env: NodeJS.ProcessEnv): ReplicaEnv | undefined {
  const text = env[REPLICA_ENV];
  if (text === undefined) return undefined;
  delete env[REPLICA_ENV];
  return JSON.parse(text) as ReplicaEnv;
}
