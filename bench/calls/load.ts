/** Keeps a number of calls in flight and counts the replies. */

import { setTimeout as sleep } from 'node:timers/promises';
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
    const begin = { at: performance.now(), cpu: process.cpuUsage(), replies };
    do await sleep(ms);
    while (!ended && replies - begin.replies < LEAST);
    const { user, system } = process.cpuUsage(begin.cpu);
    const counted = replies - begin.replies;
    const perSecond = (counted / (performance.now() - begin.at)) * 1000;
    ended = true;
    return { perSecond, cpu: (user + system) / counted };
  }
}
