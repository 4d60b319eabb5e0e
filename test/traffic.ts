/** HTTP requests without a pause, and what came of them. */

import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

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
  readonly #clients: Promise<unknown>;
  #isOver = false;

  /** @param keepAlive whether each client keeps its connection; else each request has one of its own. */
  constructor(port: number, clients: number, keepAlive: boolean) {
    this.#port = port;
    this.#agent = new Agent({ keepAlive, maxSockets: clients });
    this.#clients = Promise.all(Array.from({ length: clients }, () => this.#client()));
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
      const options = { port: this.#port, host: '127.0.0.1', agent: this.#agent, timeout: 10_000 };
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
