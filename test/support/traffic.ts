/** HTTP requests without a pause, and what came of them. */

import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './helpers.js';

export interface Outcome {
  answered: number;
  /** What went wrong, by its code, or by the status where it was answered. */
  readonly failures: Map<string, number>;
  /** The last answer's text. */
  last: string;
}

export class Traffic {
  readonly outcome: Outcome = { answered: 0, failures: new Map(), last: '' };
  readonly #agent: Agent;
  readonly #port: number;
  readonly #timeout: number;
  readonly #clients: Promise<unknown>;
  #isOver = false;

  /**
   * @param keepAlive whether each client keeps its connection; else each request has one of its own.
   * @param timeout ms without a sign of life, after which a request has failed.
   */
  constructor(port: number, clients: number, keepAlive: boolean, timeout = 10_000) {
    this.#port = port;
    this.#timeout = timeout;
    this.#agent = new Agent({ keepAlive, maxSockets: clients });
    this.#clients = Promise.all(Array.from({ length: clients }, () => this.#client()));
  }

  /** Waits until `count` more requests have been answered. */
  async reached(count: number): Promise<void> {
    const goal = this.outcome.answered + count;
    await until(() => this.outcome.answered >= goal, `${goal} answers`);
  }

  async end(): Promise<Outcome> {
    this.#isOver = true;
    await this.#clients;
    this.#agent.destroy();
    return this.outcome;
  }

  async #client(): Promise<void> {
    while (!this.#isOver) {
      const failure = await this.#request();
      if (failure === undefined) this.outcome.answered++;
      else {
        const { failures } = this.outcome;
        failures.set(failure, (failures.get(failure) ?? 0) + 1);
        await sleep(1); // a refused connection fails at once
      }
    }
  }

  /** @returns what went wrong, if anything did. */
  #request(): Promise<string | undefined> {
    return new Promise((resolve) => {
      const options = { port: this.#port, host: '127.0.0.1', agent: this.#agent, timeout: this.#timeout };
      const request = get(options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => {
          text += part;
        });
        response.on('end', () => {
          this.outcome.last = text;
          resolve(response.statusCode === 200 ? undefined : `status ${response.statusCode}`);
        });
        response.on('error', ({ code, message }: NodeJS.ErrnoException) => resolve(code ?? message));
      });
      request.on('timeout', () => request.destroy(new Error('timeout')));
      request.on('error', ({ code, message }: NodeJS.ErrnoException) => resolve(code ?? message));
    });
  }
}
