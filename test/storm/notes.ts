/** What replicas have written down before they were killed, and what it says about a request that failed. */

import { readFileSync } from 'node:fs';
import type { Failure } from './http.js';
import type { Span } from './windows.js';

/** A connection that a replica has accepted. */
interface Accepted {
  readonly at: number;
  readonly pid: number;
}

export type Verdict =
  /** The replica that held its connection was killed. */
  | 'killed'
  /** Nobody has said that it held the connection, and a replica was dying meanwhile: it may just have accepted it. */
  | 'unclaimed'
  /** The connection had been idle for so long that a replica may end it, and the request crossed that on its way. */
  | 'idle'
  | 'lost';

/**
 * ms after which a replica that stops ends a connection that is quiet (docs/servers.md), less what its answer and the
 * request may have been on their way.
 */
const QUIET = 90;

export class Notes {
  /** By the client's port, in order. */
  readonly #accepted = new Map<number, Accepted[]>();
  /** How often each call ran that may run once. */
  readonly runs = new Map<number, number>();

  constructor(file: string) {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const [kind, ...numbers] = line.split(' ');
      const [first = 0, at = 0, pid = 0] = numbers.map(Number);
      if (kind === 'r') this.runs.set(first, (this.runs.get(first) ?? 0) + 1);
      if (kind === 'c') this.#accepted.set(first, [...(this.#accepted.get(first) ?? []), { at, pid }]);
    }
  }

  /** @param kills from its kill to its end, of each replica that was killed, by pid. */
  judge({ port, connectedAt, failedAt, idle, why }: Failure, kills: ReadonlyMap<number, Span>): Verdict {
    const isCut = why === 'ECONNRESET' || why === 'EPIPE';
    if (!isCut) return 'lost';
    // A port is used again and again.
    const holder = this.#accepted.get(port)?.find(({ at }) => at >= connectedAt && at <= failedAt);
    const kill = holder && kills.get(holder.pid);
    if (kill !== undefined && kill[0] <= failedAt) return 'killed';
    if (idle !== undefined && idle >= QUIET) return 'idle';
    const someoneDied = [...kills.values()].some(
      ([killed, seen]) => killed <= failedAt && seen >= connectedAt,
    );
    return holder === undefined && someoneDied ? 'unclaimed' : 'lost';
  }
}
