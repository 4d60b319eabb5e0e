/**
 * Time limits of many calls behind one coarse timer. Limits of equal length expire in the order in which they
 * were set, so each length has a linked list of its own: adding and removing cost the same for a million calls.
 */

import { performance } from 'node:perf_hooks';
import { addon } from '../memory/addon.js';

/** A limit fires at most this many ms late (and the event loop's own delay). */
const RESOLUTION = 25;

export interface Expiring {
  /** Called once when the time is over. */
  expire(): void;
}

/** A limit that is set; give it to `clear`. */
export interface Limit {
  readonly owner: Expiring;
  readonly at: number;
  readonly list: List;
  previous: Limit | undefined;
  next: Limit | undefined;
}

interface List {
  readonly ms: number;
  first: Limit | undefined;
  last: Limit | undefined;
}

const lists = new Map<number, List>();
let sweeping = false;

export function setLimit(owner: Expiring, timeout: number): Limit {
  const ms = Math.ceil(timeout / RESOLUTION) * RESOLUTION;
  let list = lists.get(ms);
  if (list === undefined) {
    list = { ms, first: undefined, last: undefined };
    lists.set(ms, list);
  }
  const limit: Limit = {
    owner,
    at: performance.now() + timeout,
    list,
    previous: list.last,
    next: undefined,
  };
  if (list.last === undefined) list.first = limit;
  else list.last.next = limit;
  list.last = limit;
  if (!sweeping) schedule();
  return limit;
}

/** Idempotent. */
export function clearLimit(limit: Limit): void {
  const { list, previous, next } = limit;
  if (previous === undefined && list.first !== limit) return;
  if (previous === undefined) list.first = next;
  else previous.next = next;
  if (next === undefined) list.last = previous;
  else next.previous = previous;
  limit.previous = undefined;
  limit.next = undefined;
}

function schedule(): void {
  sweeping = true;
  // After the poll phase: an answer that has arrived by now counts, even if this process was stopped for long.
  setTimeout(() => setImmediate(sweep), RESOLUTION);
}

function sweep(): void {
  const now = performance.now();
  let hasCaughtUp = false;
  for (const [ms, list] of lists) {
    while (list.first !== undefined && list.first.at <= now) {
      const { first } = list;
      if (!hasCaughtUp) {
        hasCaughtUp = true;
        addon().catchUp(); // may settle it
        continue;
      }
      clearLimit(first);
      first.owner.expire();
    }
    if (list.first === undefined) lists.delete(ms);
  }
  sweeping = false;
  if (lists.size > 0) schedule();
}
