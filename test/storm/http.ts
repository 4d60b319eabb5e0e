/** The load of HTTP requests, in a process of its own, as the primary sees it. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Span } from './windows.js';

export interface Settings {
  readonly port: number;
  readonly seed: number;
  readonly clients: number;
  /** Requests a second; undefined: as fast as they are answered. */
  readonly rate?: number;
}

export type Command = [name: 'begin' | 'pause' | 'latencies' | 'report', windows?: readonly Span[]];

/** A request that was not answered as it should be. Times are ms of the monotonic clock. */
export interface Failure {
  /** The error's code or message. */
  readonly why: string;
  /** The client's port; 0 where there was no connection. */
  readonly port: number;
  /** Not later than its connection was begun. */
  readonly connectedAt: number;
  readonly askedAt: number;
  readonly failedAt: number;
  /** ms from the end of the handler before to the request, on a connection that had served others. */
  readonly idle: number | undefined;
}

export interface Report {
  answered: number;
  failed: number;
  readonly failures: readonly Failure[];
  /** Requests whose handler ran in a window. */
  inWindow: number;
}

export interface Latencies {
  readonly count: number;
  /** ms. */
  readonly p50: number;
  readonly p99: number;
}

/** ms for the client to answer; its requests have a shorter limit. */
const PATIENCE = 20_000;

export class Http implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;

  constructor(settings: Settings) {
    const script = fileURLToPath(new URL('./http-client.js', import.meta.url));
    this.#process = fork(script, [JSON.stringify(settings)], { execArgv: [], serialization: 'advanced' });
    this.#exited = once(this.#process, 'exit');
  }

  begin(): Promise<unknown> {
    return this.#command(['begin']);
  }

  /** Resolves when all requests have been answered, or have failed. */
  pause(): Promise<unknown> {
    return this.#command(['pause']);
  }

  /** Of the requests since the last time. */
  latencies(): Promise<Latencies> {
    return this.#command(['latencies']);
  }

  report(windows: readonly Span[]): Promise<Report> {
    return this.#command(['report', windows]);
  }

  /** One command after another, so the next message is the answer. */
  async #command<Answer>(command: Command): Promise<Answer> {
    const signal = AbortSignal.timeout(PATIENCE);
    const answered = once(this.#process, 'message', { signal });
    this.#process.send(command);
    const [answer] = await answered.catch((cause) => {
      throw new Error(`the HTTP clients did not answer '${command[0]}'`, { cause });
    });
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.connected) this.#process.disconnect();
    await this.#exited;
  }
}
