/** Sends calls by a schedule and looks at every reply. */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Balancer, call } from 'ballermann';
import type { Served, Setting, Task } from './messages.js';

/** ms; nothing waits as long in a run that goes well. */
const TIMEOUT = 60_000;

/** One call of a run. */
export interface Sample {
  /** ms from the planned time of sending to the reply: a sender that is late itself does not hide it. */
  readonly latency: number;
  /** ms that it was sent after the planned time. */
  readonly late: number;
  readonly served: Served;
}

/** Sets how long each replica waits for a message. */
export async function set(pids: readonly number[], waits: readonly number[]): Promise<void> {
  if (pids.length !== waits.length) throw new Error(`${pids.length} replicas, not ${waits.length}`);
  await Promise.all(pids.map((pid, i) => call(pid, { wait: waits[i] as number } satisfies Setting)));
}

/** @returns ms that each replica takes for a message when it always has one to do: the mean of `count`. */
export function calibrate(pids: readonly number[], count: number): Promise<number[]> {
  return Promise.all(
    pids.map(async (pid) => {
      const tasks = Array.from({ length: count }, (_, n): Task => ({ n }));
      const served = await Promise.all(tasks.map((task) => call<Served>(pid, task, { timeout: TIMEOUT })));
      served.forEach((one, n) => {
        if (one.n !== n || one.pid !== pid) throw wrong(n, one);
      });
      return served.reduce((sum, { took }) => sum + took, 0) / count;
    }),
  );
}

/**
 * Sends a call at each of `times` (ms from now), whatever has become of the ones before.
 * @returns the calls in the order of sending, when all have their reply. @throws what a call failed with, or Error at a
 * wrong reply.
 */
export async function run(pool: Balancer, times: readonly number[]): Promise<Sample[]> {
  const begin = performance.now();
  const now = (): number => performance.now() - begin;
  const one = async (n: number, planned: number): Promise<Sample> => {
    const late = now() - planned;
    const served = await pool.call<Served>({ n } satisfies Task, { timeout: TIMEOUT });
    if (served.n !== n) throw wrong(n, served);
    return { latency: now() - planned, late, served };
  };
  const running: Promise<Sample>[] = [];
  for (const [n, planned] of times.entries()) {
    const ahead = planned - now();
    if (ahead > 0) await sleep(ahead);
    const sample = one(n, planned);
    sample.catch(() => {}); // is thrown below
    running.push(sample);
  }
  const samples = await Promise.all(running);
  checkTurns(pool, samples);
  return samples;
}

/** Each replica has served the calls it got one after another, in the order of sending, and nothing else. */
function checkTurns(pool: Balancer, samples: readonly Sample[]): void {
  const pids = pool.pids();
  const next = new Map<number, number>();
  for (const { served } of samples) {
    if (!pids.includes(served.pid)) throw wrong(served.n, served);
    if (served.turn !== (next.get(served.pid) ?? served.turn)) throw wrong(served.n, served);
    next.set(served.pid, served.turn + 1);
  }
}

function wrong(n: number, served: Served): Error {
  return new Error(`a wrong reply to message ${n}: ${JSON.stringify(served)?.slice(0, 200)}`);
}
