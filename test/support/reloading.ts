/** What the tests of reloads share: replicas that say which build they are, calls without a pause, sizes of a pool. */

import { type Balancer, call, type Supervisor, type SupervisorOptions } from 'ballermann';
import { fixture, start } from './helpers.js';
import { later } from './processes.js';

export const exec = fixture('reload/replica.mjs');

export interface Answer {
  build: string;
  args: string[];
  pid: number;
}

export function live(options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  return start({ exec, replicas: 3, env: { BUILD: 'old' }, ...options });
}

export function pidsOf(supervisor: Supervisor): number[] {
  return supervisor.children().map(({ pid }) => pid as number);
}

export async function buildsOf(supervisor: Supervisor): Promise<string[]> {
  const answers = await Promise.all(pidsOf(supervisor).map((pid) => call<Answer>(pid, {})));
  return answers.map(({ build }) => build);
}

/** Calls the pool without a pause until it is told to stop. @returns how many were answered. */
export function load(pool: Balancer): { end(): Promise<number> } {
  let isOver = false;
  const callers = Array.from({ length: 8 }, async () => {
    let answered = 0;
    while (!isOver) {
      await pool.call({ sleep: 1 });
      answered++;
    }
    return answered;
  });
  const all = later(Promise.all(callers));
  return {
    end: async () => {
      isOver = true;
      return (await all).reduce((sum, answered) => sum + answered, 0);
    },
  };
}

/** The size of the pool at each event of the supervisor, and 'refresh' where it had to be refreshed. */
export function sizes(supervisor: Supervisor, pool: Balancer): Set<number | 'refresh'> {
  const seen = new Set<number | 'refresh'>();
  for (const name of ['up', 'down'] as const) supervisor.on(name, () => seen.add(pool.pids().length));
  setImmediate(() => pool.on('refresh', () => seen.add('refresh'))); // the first one is being told still
  return seen;
}
