/** What a process holds: descriptors, listeners, timers and handles, memory. For comparing it with itself later. */

import cluster, { type Worker } from 'node:cluster';
import type { EventEmitter } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { tally } from '../support/helpers.js';

/** How many there are of each kind, as text in a fixed order. */
export type Inventory = string;

/** The open descriptors, by what they point to. */
export function descriptors(): Inventory {
  const targets = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`).replace(/\d{2,}/g, 'N')];
    } catch {
      return []; // the one that the listing itself took
    }
  });
  return inventory(targets);
}

/** The listeners of those emitters, of the process and of the cluster and each of its workers. */
export function listeners(...emitters: EventEmitter[]): Inventory {
  const workers = Object.values(cluster.workers ?? {}) as Worker[];
  const all: EventEmitter[] = [process, cluster, ...emitters];
  for (const worker of workers) all.push(worker, worker.process);
  const names = all.flatMap((emitter) =>
    emitter.eventNames().flatMap((name) => {
      const what = `${emitter.constructor.name} ${String(name)}`;
      return Array.from({ length: emitter.listenerCount(name) }, () => what);
    }),
  );
  return inventory(names);
}

/** What keeps, or would keep, the event loop going: timers, sockets, processes. An immediate is over in its turn. */
export function resources(): Inventory {
  return inventory(process.getActiveResourcesInfo().filter((name) => name !== 'Immediate'));
}

/** Longer than any timer that a call or a death leaves, and looks at most: 10 s. */
const LOOKS = { agreeing: 12, most: 100, ms: 100 };

/** What `take` gives when that has not changed for more than a second; what it gives after 10 s in any case. */
export async function settled<T>(take: () => T | Promise<T>): Promise<T> {
  let last = '';
  for (let look = 1, agreeing = 0; ; look++) {
    const taken = await take();
    const text = JSON.stringify(taken);
    agreeing = text === last ? agreeing + 1 : 0;
    if (agreeing === LOOKS.agreeing || look === LOOKS.most) return taken;
    last = text;
    await sleep(LOOKS.ms);
  }
}

function inventory(names: readonly string[]): Inventory {
  const counts = [...tally(names)].sort(([a], [b]) => (a < b ? -1 : 1));
  return counts.map(([name, count]) => `${count} ${name}`).join(', ');
}

export interface Memory {
  /** Bytes of live objects. */
  readonly heap: number;
  /** Bytes outside the heap that objects hold. */
  readonly external: number;
  /** Bytes that the system has given. */
  readonly rss: number;
}

/** After collections in several turns, since what one frees may be what held other things. */
export async function memory(): Promise<Memory> {
  if (global.gc === undefined) throw new Error('needs node --expose-gc');
  for (let round = 0; round < 4; round++) {
    await turn();
    global.gc();
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed, external, rss };
}

/** Those workers of the cluster that have been forked from now on and are not collected. */
export class Workers implements Disposable {
  forked = 0;
  readonly #references = new Set<WeakRef<Worker>>();
  readonly #note = (worker: Worker): void => {
    this.forked++;
    this.#references.add(new WeakRef(worker));
  };

  constructor() {
    cluster.on('fork', this.#note);
  }

  /** To be asked after a collection, in a later turn. */
  reachable(): number {
    return [...this.#references].filter((reference) => reference.deref() !== undefined).length;
  }

  [Symbol.dispose](): void {
    cluster.off('fork', this.#note);
  }
}

export function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
