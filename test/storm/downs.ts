/** How the replicas of a storm of clients have ended. */

import type { DownEvent, Supervisor } from 'ballermann';

export class Downs {
  /** Ends that nobody has asked for. */
  readonly others: string[] = [];
  readonly #killed = new Map<number, number>();

  constructor(supervisor: Supervisor) {
    supervisor.on('down', ({ pid, code, signal, error, expected }: DownEvent) => {
      // A reload that fails kills the new replicas that it has started.
      const isAsked = expected && (code === 0 || signal === 'SIGKILL');
      if (this.#killed.has(pid as number) || isAsked) return;
      this.others.push(`${pid}: code ${code}, signal ${signal}, ${error?.stack ?? ''}`);
    });
  }

  get kills(): number {
    return this.#killed.size;
  }

  kill(pid: number): void {
    this.#killed.set(pid, performance.now());
    process.kill(pid, 'SIGKILL');
  }

  /** Or a second before: what a killed replica has left may still be under way. */
  wereKilledSince(time: number): boolean {
    return [...this.#killed.values()].some((at) => at > time - 1_000);
  }
}
