/** Keeps a number of calls in flight and counts the replies. */

import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '../figures.js';
import type { Message, Payload, Reply } from './messages.js';

/** Replies that are counted at least, however long it takes. */
const LEAST = 10;

export interface Load {
  readonly inFlight: number;
  readonly payload: Payload;
  /** ms before counting begins. */
  readonly leadIn: number;
  /** ms of counting; again and again until there is something to count. */
  readonly ms: number;
}

export interface Driven {
  /** Replies. */
  readonly perSecond: number;
  /** µs of this process's CPU time a reply. */
  readonly cpu: number;
  /** ms that a timer of 1 ms was late while replies were counted, in 99 of 100 cases at most. */
  readonly delay: number;
}

/** @returns µs a call of the first ones, one after another. @throws as drive() does. */
export async function driveFirst(
  call: (message: Message) => Promise<Reply>,
  payload: Payload,
  calls: number,
): Promise<number> {
  const begin = performance.now();
  for (let n = 0; n < calls; n++) payload.check(n, await call(payload.make(n)));
  return ((performance.now() - begin) * 1000) / calls;
}

/**
 * Each of `inFlight` callers calls again as soon as it has its reply. Only what is answered between the lead-in and the
 * end counts, so neither the start nor the rundown of the queue does.
 * @throws what a call failed with, or Error at a wrong reply.
 */
export async function drive(
  call: (message: Message) => Promise<Reply>,
  { inFlight, payload, leadIn, ms }: Load,
): Promise<Driven> {
  let sent = 0;
  let replies = 0;
  let ended = false;
  const caller = async (): Promise<void> => {
    try {
      while (!ended) {
        const n = sent++;
        payload.check(n, await call(payload.make(n)));
        replies++;
      }
    } catch (error) {
      ended = true;
      throw error;
    }
  };
  const callers = Promise.all(Array.from({ length: inFlight }, caller));
  const counted = count();
  await callers;
  return counted;

  async function count(): Promise<Driven> {
    do await sleep(leadIn);
    while (!ended && replies < inFlight); // until the queue that the start has filled has gone through once
    const late: number[] = [];
    const timer = watch(late);
    const begin = { at: performance.now(), cpu: process.cpuUsage(), replies };
    do await sleep(ms);
    while (!ended && replies - begin.replies < LEAST);
    const { user, system } = process.cpuUsage(begin.cpu);
    const counted = replies - begin.replies;
    const perSecond = (counted / (performance.now() - begin.at)) * 1000;
    ended = true;
    clearInterval(timer);
    return { perSecond, cpu: (user + system) / counted, delay: quantile(late, 0.99) };
  }
}

/** Notes how late a timer of 1 ms is. */
function watch(late: number[]): NodeJS.Timeout {
  let due = performance.now() + 1;
  return setInterval(() => {
    const now = performance.now();
    late.push(Math.max(0, now - due));
    due = now + 1;
  }, 1);
}
