/** What a fleet costs its NATS server, on paper: messages a second, by what the code sends. Nothing is measured here. */

export interface FleetShape {
  readonly members: number;
  /** fleetPool()s: each watches all members. */
  readonly callers: number;
  /** s between two heartbeats of a member. */
  readonly heartbeat: number;
  /** s that a window lasts without its coordinator; it is renewed at each third. */
  readonly lease: number;
}

export interface Rate {
  /** Messages that the server takes. */
  readonly in: number;
  /** Messages that it delivers. */
  readonly out: number;
}

/** A second of nothing but heartbeats: each is stored, confirmed to its member, and shown to every caller. */
export function heartbeats({ members, callers, heartbeat }: FleetShape): Rate {
  const beats = members / heartbeat;
  return { in: beats, out: beats * (1 + callers) };
}

/**
 * A whole window whose function runs for `seconds`. The key is created, renewed and deleted. Each of these is a request and a word to
 * all members and callers. Each member acknowledges the creation and each renewal to the coordinator. It tells by a heartbeat at once
 * that its pool is paused, and that it is not: those go to every caller, as all heartbeats do.
 */
export function window({ members, callers, lease }: FleetShape, seconds: number): Rate {
  const renewals = Math.floor(seconds / (lease / 3));
  const keys = 2 + renewals;
  const acknowledgements = members * (1 + renewals);
  const beats = 2 * members;
  return {
    in: 2 * keys + acknowledgements + beats,
    out: keys * (1 + members + callers) + acknowledgements + beats * (1 + callers),
  };
}
