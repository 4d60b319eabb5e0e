/** What a process has counted since it started: the replica in its slot, and the primary of its event loop. */

export interface Totals {
  /** Calls and casts that it has taken out of its mailbox. */
  readonly taken: number;
  /** Requests that its servers have begun. */
  readonly requests: number;
  /** Connections that have come to its servers. */
  readonly accepted: number;
  /** ms for which its event loop did not wait for work, since it got ready. */
  readonly busyTime: number;
}

export const NOTHING: Totals = { taken: 0, requests: 0, accepted: 0, busyTime: 0 };

export function sum(a: Totals, b: Totals): Totals {
  return {
    taken: a.taken + b.taken,
    requests: a.requests + b.requests,
    accepted: a.accepted + b.accepted,
    busyTime: a.busyTime + b.busyTime,
  };
}
