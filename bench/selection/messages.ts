/** What a replica is sent, and what must come back. */

/** Sets the time, in ms, that the replica waits for each message from now on. */
export interface Setting {
  readonly wait: number;
}

/** Is to be served in its turn. */
export interface Task {
  readonly n: number;
}

export interface Served {
  readonly n: number;
  readonly pid: number;
  /** How many tasks were before this one, in this replica and since its setting. */
  readonly turn: number;
  /** ms that it took, without what it had to wait for its turn. */
  readonly took: number;
}
