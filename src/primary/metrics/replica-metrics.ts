/** What metrics() shows of each number of a supervisor. */

import type { ReplicaProcess } from '../replicas/replica-process.js';
import { residentMemory } from './resident-memory.js';
import type { ChildState, ReplicaMetrics } from './supervisor-metrics.js';
import type { Tallies } from './tally.js';

/** One who has a number, or is to have it. */
export interface Place {
  readonly id: number;
  /** Of its newest process. */
  readonly incarnation: number;
  readonly state: ChildState;
  /** ms since its process got ready; undefined where it has not. */
  readonly lived: number | undefined;
  readonly replica: ReplicaProcess | undefined;
  /** It leaves for good. */
  readonly retired: boolean;
  /** It is to take another's place. */
  readonly isSuccessor: boolean;
}

/** By number, ascending. */
export function replicaMetrics(places: Iterable<Place>, tallies: Tallies): ReplicaMetrics[] {
  return holders(places).map((place) => {
    const { id, incarnation, state, lived, replica } = place;
    const { restarts, lastExit, totals } = tallies.of(id);
    return {
      index: id,
      pid: replica?.pid,
      incarnation,
      state,
      blocked: replica?.blocked ?? false,
      uptime: (replica && lived) ?? 0,
      restarts,
      lastExit,
      rss: replica && memoryOf(replica),
      eventLoopUtilization: replica?.eventLoopUtilization() ?? 0,
      unfinished: replica?.unfinished ?? 0,
      running: replica?.requests ?? 0,
      ...totals,
    };
  });
}

/** Whoever has each number now: until a successor is ready, the one before it. */
export function holders(places: Iterable<Place>): Place[] {
  const byId = new Map<number, Place>();
  for (const place of places) {
    const other = byId.get(place.id);
    if (other === undefined || hasBefore(place, other)) byId.set(place.id, place);
  }
  return [...byId.values()].sort((a, b) => a.id - b.id);
}

function hasBefore(a: Place, b: Place): boolean {
  if (rank(a) !== rank(b)) return rank(a) > rank(b);
  return a.incarnation > b.incarnation;
}

function rank({ retired, isSuccessor }: Place): number {
  if (retired) return isSuccessor ? 0 : 1;
  return isSuccessor ? 1 : 2;
}

function memoryOf({ pid, rss }: ReplicaProcess): number | undefined {
  return residentMemory(pid) ?? (rss > 0 ? rss : undefined);
}
