/** What the tests of starts, stops and deaths share: temporary folders, processes as the kernel sees them. */

import { type ChildProcess, spawn } from 'node:child_process';
import cluster, { type Worker } from 'node:cluster';
import { type EventEmitter, once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { fixture, until } from './helpers.js';

/** A new folder, removed with all that is in it at the end of its `using`. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'ballermann-test-'));

  at(name: string): string {
    return join(this.path, name);
  }

  /** Writes a script, and answers its path. */
  script(name: string, text: string): string {
    writeFileSync(this.at(name), text);
    return this.at(name);
  }

  /** Lets everything go on that waits for this file. */
  open(gate: string): void {
    writeFileSync(this.at(gate), '');
  }

  has(name: string): boolean {
    return existsSync(this.at(name));
  }

  read(name: string): string {
    return readFileSync(this.at(name), 'utf8');
  }

  shut(gate: string): void {
    rmSync(this.at(gate));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** The diary that replicas of lifecycle/replica.mjs keep: what happened, in order, in all of them. */
export class Diary {
  readonly file: string;

  constructor(folder: Folder) {
    this.file = folder.at('diary');
  }

  /** What the replica of that pid wrote; all that any wrote where none is given. */
  read(pid?: number): string[] {
    if (!existsSync(this.file)) return [];
    const lines = readFileSync(this.file, 'utf8').split('\n').slice(0, -1);
    return lines
      .map((line) => /^(\d+) (.*)$/.exec(line) as RegExpExecArray)
      .filter(([, author]) => pid === undefined || Number(author) === pid)
      .map(([, , text]) => text as string);
  }

  /** Waits until `count` entries say so. */
  async has(text: string, count = 1): Promise<void> {
    await until(
      () => this.read().filter((line) => line === text).length >= count,
      () => `'${text}' ${count} times in the diary, which has: ${this.read().join(', ')}`,
    );
  }
}

/** The same promise, whose rejection is no second failure when the test fails before it awaits it. */
export function later<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** The event's arguments; fails when it has not come within 10 s. */
export async function event<T extends unknown[]>(emitter: EventEmitter, name: string): Promise<T> {
  try {
    return (await once(emitter, name, { signal: AbortSignal.timeout(10_000) })) as T;
  } catch (cause) {
    throw new Error(`waited for the event '${name}'`, { cause });
  }
}

/** lifecycle/replica.mjs; see there for what `env` can ask of it. */
export const lifecycle = fixture('lifecycle/replica.mjs');

/** The pids of all workers that the cluster forks from now on. */
export class Forked implements Disposable {
  readonly pids: number[] = [];
  readonly #note = ({ process: { pid } }: Worker): void => {
    if (pid !== undefined) this.pids.push(pid);
  };

  constructor() {
    cluster.on('fork', this.#note);
  }

  [Symbol.dispose](): void {
    cluster.off('fork', this.#note);
  }
}

/** Resolves when none of them is alive any more; fails after `ms`. */
export async function gone(
  pids: readonly number[],
  ms?: number,
  why = 'the death of the primary',
): Promise<void> {
  const left = () => pids.filter(isAlive);
  await until(
    () => left().length === 0,
    () => `the end of ${left()} after ${why}`,
    ms,
  );
}

/** The state letters of its threads. */
export function statesOf(pid: number): (string | undefined)[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => stateOf(Number(thread)));
}

/** The state letter of a process in /proc, or of a thread; undefined where there is none. */
export function stateOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[0];
  } catch {
    return undefined;
  }
}

/** Whether a process runs, or could go on running: one that has ended and was not reaped does not. */
export function isAlive(pid: number): boolean {
  if (process.platform === 'linux') return !['Z', 'X', undefined].includes(stateOf(pid));
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Whether that pid is still a replica of ours, and not another process's by now. */
function isReplica(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('fixtures/lifecycle/');
  } catch {
    return false;
  }
}

/** What the open file descriptors of a process point to. */
export function openFiles(pid: number): { fd: number; target: string }[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [{ fd: Number(fd), target: readlinkSync(`/proc/${pid}/fd/${fd}`) }];
    } catch {
      return []; // closed meanwhile
    }
  });
}

/** What lifecycle/primary.mjs is told. */
export interface PrimaryOptions {
  /** SupervisorOptions, `exec` included where it is not lifecycle/replica.mjs. */
  supervisor: Record<string, unknown>;
  /** What each replica is called with at the start; an array's messages in turn. */
  message?: unknown;
  /** So many calls to the pool instead; an array's messages in turn. */
  calls?: number;
  /** ms, of each of these calls; 60,000 where it is left out. */
  timeout?: number;
  /** Listens for SIGTERM itself, by this function of `process`, and has exit code 7 a while after its last replica. */
  ownListener?: 'on' | 'once' | 'prependOnceListener';
  /** Exits then. */
  ownExit?: boolean;
  /** Has nothing else to do that would keep it alive. */
  endsByItself?: boolean;
  /** Prints all the time. */
  chats?: boolean;
  /** Prints nothing. */
  quiet?: boolean;
  /** A file that gets all its lines, too. */
  book?: string;
  /** Listens for SIGHUP itself. */
  ownHangUp?: boolean;
  /** Is no longer root when all are ready. */
  drops?: boolean;
  /** Closes the supervisor when all are ready. */
  closes?: boolean;
  /** Leads a process group, as a shell's job does. */
  ownGroup?: boolean;
  /** Is PID 1 of a pid namespace, as in a container; `process` is the one that made it then. */
  container?: boolean;
  /** A command that becomes the primary, with these as the first arguments: `env`, `setpriv`. */
  through?: readonly string[];
}

export type Line = { type: string; [key: string]: unknown };

/** A pid namespace that ends with the command that made it. */
export const NEW_NAMESPACE: readonly [string, ...string[]] = [
  'unshare',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
];

/** A primary of its own in a child process, and what it says. Killed at the end of its `await using`. */
export class Primary implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly lines: Line[] = [];
  /** What it and its replicas have written to stderr. */
  errors = '';
  /** Resolves with how it ended. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null; at: number }>;
  /** The same, when all that it said is in `lines`: its replicas have to be gone as well, since they share its output. */
  readonly ended: Promise<Awaited<Primary['exited']>>;
  readonly #output: Readable;
  readonly #isContainer: boolean;

  constructor(options: PrimaryOptions) {
    const script = fileURLToPath(fixture('lifecycle/primary.mjs'));
    this.#isContainer = options.container ?? false;
    const command = [process.execPath, script, JSON.stringify(options)];
    if (this.#isContainer) command.unshift(...NEW_NAMESPACE);
    command.unshift(...(options.through ?? []));
    this.process = spawn(command[0] as string, command.slice(1), {
      detached: options.ownGroup ?? false,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stderr?.setEncoding('utf8').on('data', (text) => {
      this.errors += text;
      process.stderr.write(text);
    });
    this.#output = this.process.stdout as Readable;
    const read = createInterface({ input: this.#output }).on('line', (line) =>
      this.lines.push(JSON.parse(line)),
    );
    const closed = once(read, 'close');
    this.exited = once(this.process, 'exit').then(([code, signal]) => ({
      code,
      signal,
      at: performance.now(),
    }));
    this.ended = this.exited.then(async (how) => {
      await closed;
      return how;
    });
  }

  get pid(): number {
    return this.process.pid as number;
  }

  said(type: string): Line[] {
    return this.lines.filter((line) => line.type === type);
  }

  /** The `count`th line of that type. */
  async line(type: string, count = 1): Promise<Line> {
    await until(
      () =>
        this.said(type).length >= count || this.process.exitCode !== null || this.process.signalCode !== null,
      () => `'${type}' ${count} times from the primary, which said: ${JSON.stringify(this.lines)}`,
    );
    const line = this.said(type)[count - 1];
    if (line === undefined)
      throw new Error(`the primary ended before '${type}': ${JSON.stringify(this.lines)}`);
    return line;
  }

  /** The pids of the first replicas, when it has said of so many that it forked them. */
  async forked(count: number): Promise<number[]> {
    await this.line('fork', count);
    return this.said('fork').map(({ pid }) => pid as number);
  }

  /** The pids of its replicas when all are ready. */
  async ready(): Promise<number[]> {
    return (await this.line('ready'))['pids'] as number[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGKILL');
    await this.exited;
    // Only a failed test leaves some; a namespace leaves none, and its pids mean other processes here.
    for (const { pid } of this.said('fork'))
      if (!this.#isContainer && isReplica(pid as number)) process.kill(pid as number, 'SIGKILL');
    this.#output.destroy();
    this.process.stderr?.destroy();
  }
}
