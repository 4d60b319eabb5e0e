/** What two cores can do at all: two bare processes that do the CPU task without a message each. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { workerFile } from '../peers.js';
import { WORKERS } from './contenders.js';
import type { CpuTask } from './messages.js';

/** µs that the CPU task lasts. */
export const TASK_US = 100;

interface Done {
  readonly tasks: number;
  readonly ms: number;
  /** ms of the fastest task: nothing else has disturbed it. */
  readonly fastest: number;
  readonly sum: number;
}

export class FlatOut {
  readonly #forks: readonly ChildProcess[] = Array.from({ length: WORKERS }, () =>
    fork(workerFile('flat-out')),
  );

  /** Finds, in one process, how many turns last as long as the task should. Called once: all do the same work then. */
  async calibrate(): Promise<CpuTask> {
    let turns = 10_000;
    for (;;) {
      const [done] = await this.#run(this.#forks.slice(0, 1), { turns, ms: 100 });
      const { fastest, sum } = done as Done;
      const off = (fastest * 1000) / TASK_US;
      if (Math.abs(off - 1) < 0.02) return { turns, sum };
      turns = Math.round(turns / off);
    }
  }

  /** @returns tasks a second of all processes together. */
  async measure(task: CpuTask, ms: number): Promise<number> {
    const all = await this.#run(this.#forks, { ...task, ms });
    return all.reduce((rate, done) => rate + (done.tasks / done.ms) * 1000, 0);
  }

  close(): void {
    for (const child of this.#forks) child.disconnect();
  }

  async #run(forks: readonly ChildProcess[], order: object): Promise<Done[]> {
    const answers = forks.map((child) => answerOf<Done>(child));
    for (const child of forks) child.send(order);
    return Promise.all(answers);
  }
}

/** The next message. @throws Error where the process ends instead. */
export async function answerOf<Answer>(child: ChildProcess): Promise<Answer> {
  const waiting = new AbortController();
  const { signal } = waiting;
  try {
    return await Promise.race([
      once(child, 'message', { signal }).then(([answer]) => answer as Answer),
      once(child, 'exit', { signal }).then(([code, killer]) => {
        throw new Error(`a process of the benchmark ended: ${killer ?? `exit code ${code}`}`);
      }),
    ]);
  } finally {
    waiting.abort();
  }
}
