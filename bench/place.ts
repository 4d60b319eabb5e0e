/** Where subjects are timed: this thread, a worker thread, a replica. Each times one subject at a time, by name. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { call } from 'ballermann';
import type { Subject } from './subject.js';
import { type Effort, time } from './timing.js';

export interface Place {
  readonly name: string;
  /** ns per call. */
  time(subject: string, effort: Effort): Promise<number>;
  verify(): Promise<void>;
}

/** What a place outside is asked for: a subject to time, or to verify all where there is none. */
export interface Order {
  readonly subject?: string;
  readonly effort?: Effort;
}

/** The place that the current thread is. */
export function here(name: string, subjects: readonly Subject[]): Place {
  const byName = new Map(subjects.map((subject) => [subject.name, subject]));
  return {
    name,
    async time(subject, effort) {
      return time(byName.get(subject) as Subject, effort);
    },
    async verify() {
      for (const subject of subjects) subject.verify?.();
    },
  };
}

/** Carries out an order that came from outside. */
export async function obey(place: Place, { subject, effort }: Order): Promise<number | undefined> {
  if (subject !== undefined) return place.time(subject, effort as Effort);
  await place.verify();
  return undefined;
}

/** A replica, by messages to its pid. */
export function replicaPlace(pid: number): Place {
  const ask = (order: Order): Promise<number> => call<number>(pid, order, { timeout: 60_000 });
  return {
    name: 'replica',
    time: (subject, effort) => ask({ subject, effort }),
    verify: async () => {
      await ask({});
    },
  };
}

/** A worker thread, by messages. It keeps the process running until it is ended. */
export function threadPlace(): Place & { end(): Promise<unknown> } {
  const worker = new Worker(new URL('./thread.js', import.meta.url));
  const ask = async (order: Order): Promise<number> => {
    worker.postMessage(order);
    const [answer] = await once(worker, 'message'); // rejects at an 'error' event
    return answer;
  };
  return {
    name: 'thread',
    time: (subject, effort) => ask({ subject, effort }),
    verify: async () => {
      await ask({});
    },
    end: () => worker.terminate(),
  };
}
