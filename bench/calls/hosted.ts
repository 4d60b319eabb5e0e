/** A contender in a process of its own, as the measurement sees it. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Figure } from './cases.js';
import { answerOf } from './flat-out.js';
import type { Answer, Order } from './host.js';

export class Hosted {
  readonly name: string;
  readonly #process: ChildProcess;

  private constructor(name: string, process: ChildProcess) {
    this.name = name;
    this.#process = process;
  }

  static async start(name: string): Promise<Hosted> {
    const process = fork(fileURLToPath(new URL('./host.js', import.meta.url)), [name]);
    await answerOf(process);
    return new Hosted(name, process);
  }

  /** @returns the figure. @throws Error at a wrong reply or where the contender fails. */
  async measure(order: Order, figure: Figure): Promise<number> {
    this.#process.send(order);
    const answer = await answerOf<Answer>(this.#process);
    if (typeof answer === 'string') throw new Error(`${this.name}: ${answer}`);
    if (typeof answer === 'number') return answer;
    if (figure === 'cpu' || figure === 'delay') return answer[figure];
    return answer.perSecond;
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, 'exit');
    if (this.#process.connected) this.#process.disconnect();
    await gone;
  }
}
