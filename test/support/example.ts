/**
 * The primary of an example on a port of the system's choice, in a process of its own, and what it says. Killed at the end
 * of its `await using`.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { until } from './helpers.js';
import { isAlive } from './processes.js';

export class Example implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  readonly #exited: Promise<unknown[]>;
  #silent = false;

  /** @param script of examples/ */
  constructor(script: string, env: Record<string, string> = {}, args: readonly string[] = []) {
    const file = fileURLToPath(new URL(`../../../examples/${script}`, import.meta.url));
    this.#process = spawn(process.execPath, [file, ...args], {
      env: { ...process.env, PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#exited = once(this.#process, 'exit');
    createInterface({ input: this.#process.stdout as Readable })
      .on('line', (line) => this.#lines.push(line))
      .once('close', () => {
        this.#silent = true; // its replicas share its output: none is left
      });
  }

  /** All that it has said. */
  get said(): string {
    return this.#lines.join('\n');
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** The first match, in all that it has said or will say. */
  async says(pattern: RegExp): Promise<string> {
    const found = await until(
      () => pattern.exec(this.said) ?? this.#silent,
      () => `${pattern} from the example, which said: ${this.said}`,
    );
    if (typeof found === 'boolean') throw new Error(`ended before ${pattern}: ${this.said}`);
    return found[0];
  }

  /** Where it serves, without the slash at the end. */
  url(): Promise<string> {
    return this.says(/(http|ws):\/\/127\.0\.0\.1:\d+/);
  }

  /** Asks it to end; it must do so by itself, with 0, and leave none of `replicas`. */
  async ends(replicas: Iterable<number> = []): Promise<void> {
    this.signal('SIGTERM');
    await this.endsByItself(replicas);
  }

  async endsByItself(replicas: Iterable<number> = [], code = 0): Promise<void> {
    const how = await this.#exited;
    await until(() => this.#silent, 'the end of its output');
    assert.equal(how, [code, null], this.said);
    assert.equal([...replicas].filter(isAlive), []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null) this.signal('SIGKILL');
    await this.#exited;
  }
}

/** Asks until two replicas have answered. @returns their pids. */
export async function twoReplicas(ask: () => Promise<number>): Promise<Set<number>> {
  const pids = new Set<number>();
  await until(async () => pids.add(await ask()).size >= 2, 'answers from two replicas');
  return pids;
}
