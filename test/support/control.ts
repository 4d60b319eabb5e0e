/** What the tests of the control socket share: a folder of its own, raw connections, primaries and commands as processes. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { fixture, until } from './helpers.js';
import { Folder } from './processes.js';

/** XDG_RUNTIME_DIR of this process and its children, for as long as it is `using`. */
export class RuntimeFolder implements Disposable {
  readonly #folder = new Folder();
  readonly #before = process.env['XDG_RUNTIME_DIR'];

  constructor() {
    process.env['XDG_RUNTIME_DIR'] = this.#folder.path;
  }

  /** What XDG_RUNTIME_DIR says. */
  get parent(): string {
    return this.#folder.path;
  }

  /** The folder of the sockets. */
  get path(): string {
    return join(this.#folder.path, 'ballermann');
  }

  /** A path beside it. */
  at(name: string): string {
    return this.#folder.at(name);
  }

  socket(name: string): string {
    return join(this.path, `${name}.sock`);
  }

  script(name: string, text: string): string {
    return this.#folder.script(name, text);
  }

  [Symbol.dispose](): void {
    if (this.#before === undefined) delete process.env['XDG_RUNTIME_DIR'];
    else process.env['XDG_RUNTIME_DIR'] = this.#before;
    this.#folder[Symbol.dispose]();
  }
}

export type Answer = { result?: unknown; event?: string; error?: { code: string; message: string } };

/** A connection on which a test writes what it likes. */
export class RawControl implements Disposable {
  readonly socket: Socket;
  /** What has come, a line each. */
  readonly answers: Answer[] = [];
  hasEnded = false;

  constructor(path: string) {
    this.socket = connect({ path, allowHalfOpen: true });
    this.socket.on('error', () => {});
    const end = (): void => {
      this.hasEnded = true;
    };
    this.socket.once('end', end).once('close', end);
    createInterface({ input: this.socket }).on('line', (line) => this.answers.push(JSON.parse(line)));
  }

  ask(request: object): void {
    this.socket.write(`${JSON.stringify({ protocol: 1, ...request })}\n`);
  }

  /** The `count`th answer. */
  async answer(count = 1): Promise<Answer> {
    await until(
      () => this.answers.length >= count || this.hasEnded,
      () => `answer ${count}; there are ${JSON.stringify(this.answers)}`,
    );
    const answer = this.answers[count - 1];
    if (answer === undefined)
      throw new Error(`ended before answer ${count}: ${JSON.stringify(this.answers)}`);
    return answer;
  }

  async ended(): Promise<void> {
    await until(() => this.hasEnded, 'the end of the connection');
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

const bin = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

/** `ballermann` with these arguments, as a process. */
export class Cli {
  readonly process: ChildProcess;
  /** Resolves when the process and all that has its output are gone. */
  readonly ended: Promise<Ended>;
  err = '';

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    const child = spawn(process.execPath, [bin, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.process = child;
    child.stderr.setEncoding('utf8').on('data', (part) => {
      this.err += part;
    });
    this.ended = Promise.all([once(child, 'close'), text(child.stdout)]).then(([[code, signal], out]) => ({
      code,
      signal,
      out,
      err: this.err,
    }));
  }
}

export function cli(...args: string[]): Promise<Ended> {
  return new Cli(args).ended;
}

/** The command line of a terminal of its own, of Python's pty; its `ballermann` is the first argument of `command`. */
export const terminalScript = fileURLToPath(fixture('terminal.py'));
export const binPath = bin;

/** fixtures/control/primary.mjs: replicas of a server, and what it says. Killed at the end of its `await using`. */
export class ControlledPrimary implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly exited: Promise<unknown[]>;
  readonly #ready: Promise<unknown[]>;

  constructor(options: Record<string, unknown>) {
    const script = fileURLToPath(fixture('control/primary.mjs'));
    this.process = spawn(process.execPath, [script, JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.exited = once(this.process, 'exit');
    this.#ready = once(this.process, 'message');
  }

  /** What it says first: the port, or why it did not start. */
  async said(): Promise<{ port?: number; code?: string; message?: string }> {
    const [message] = await Promise.race([
      this.#ready,
      this.exited.then((how) => {
        throw new Error(`the primary ended before it was ready: ${how}`);
      }),
    ]);
    return message as { port: number };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGKILL');
    await this.exited;
  }
}
