/** A stdout and stderr that nobody reads any more. The primary is a child process here, so that its output is ours to close. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, next, until } from '../support/helpers.js';
import { Folder, isAlive } from '../support/processes.js';

/** failures/output.mjs, and its end of each pipe. */
class Talker implements AsyncDisposable {
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;

  private constructor(folder: Folder) {
    this.#process = fork(fileURLToPath(fixture('failures/output.mjs')), [folder.path], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.stdout = this.#process.stdout as Readable;
    this.stderr = this.#process.stderr as Readable;
    this.#exited = once(this.#process, 'exit');
  }

  static async start(folder: Folder): Promise<Talker> {
    const talker = new Talker(folder);
    await next(talker.#process, 'message');
    return talker;
  }

  /** @throws Error where it ends instead. */
  async ask<T>(message: { op: string; text?: string }): Promise<T> {
    const answer = next<[{ result: T }]>(this.#process, 'message');
    this.#process.send(message);
    const ended = this.#exited.then((how) => {
      throw new Error(`it ended: ${how}`);
    });
    const [{ result }] = await Promise.race([answer, ended]);
    return result;
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** How it has ended; waits for that. */
  async end(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    await until(() => this.#hasEnded, 'its end');
    return { code: this.#process.exitCode, signal: this.#process.signalCode };
  }

  get #hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.kill('SIGKILL');
    await this.#exited;
    this.stdout.destroy();
    this.stderr.destroy();
  }
}

/** It and its replicas live, and SIGTERM ends it in order. */
async function livesOn(talker: Talker): Promise<void> {
  assert.equal(await talker.ask({ op: 'events' }), []);
  let pids: number[] = [];
  const areBothThere = async (): Promise<boolean> => {
    pids = await talker.ask<number[]>({ op: 'pids' });
    return pids.filter(isAlive).length === 2;
  };
  await until(areBothThere, 'both replicas in rotation'); // on a busy machine one may be out of it for a moment
  talker.kill('SIGTERM');
  assert.equal(await talker.end(), { code: 0, signal: null });
  assert.equal(pids.filter(isAlive), []);
}

test('stdout and stderr closed by their reader: the primary and its replicas live', async () => {
  using folder = new Folder();
  await using talker = await Talker.start(folder);
  talker.stdout.destroy();
  talker.stderr.destroy();
  for (let round = 0; round < 3; round++) {
    await talker.ask({ op: 'print', text: 'nobody reads this' });
    await talker.ask({ op: 'replicasPrint', text: 'nor this' });
  }
  await livesOn(talker);
});

test('a reader of the output that has stopped reading stops nobody', async () => {
  using folder = new Folder();
  await using talker = await Talker.start(folder);
  const text = 'x'.repeat(4 * 1024 * 1024); // more than any pipe holds
  for (let round = 0; round < 3; round++) {
    await talker.ask({ op: 'print', text });
    await talker.ask({ op: 'replicasPrint', text });
  }
  await livesOn(talker);
});

test('other errors of the output end the primary as ever, and a lost reader does when the supervisor is closed', async () => {
  using folder = new Folder();
  await using failing = await Talker.start(folder);
  let words = '';
  failing.stderr.setEncoding('utf8').on('data', (text) => {
    words += text;
  });
  const wordsEnd = once(failing.stderr, 'end');
  const failure = failing.ask({ op: 'fail' }).catch(() => {});
  assert.equal(await failing.end(), { code: 1, signal: null });
  await Promise.all([failure, wordsEnd]);
  assert.match(words, /Error: no space left/);

  await using closed = await Talker.start(folder);
  await closed.ask({ op: 'close' });
  closed.stdout.destroy();
  const print = closed.ask({ op: 'print', text: 'nobody reads this' }).catch(() => {});
  assert.equal(await closed.end(), { code: 1, signal: null });
  await print;
});

test.run();
