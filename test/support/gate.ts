/** Talks to replicas of fixtures/gate.mjs and to threads of fixtures/thread.mjs, as the tests of messages need it. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type Balancer, call, type Supervisor, type SupervisorOptions } from 'ballermann';
import { type Deferred, deferred } from '#src/deferred.js';
import { type Failure, fixture, start, until } from './helpers.js';
import { later } from './processes.js';

export { type Deferred, deferred };

// A failed test leaves promises behind that nobody looks at. They must fail the file, as they would without this,
// but not before the tests have been named that failed.
let unhandled = false;
process.on('unhandledRejection', (reason) => {
  console.error('unhandled rejection:', reason);
  unhandled = true;
});
process.once('exit', () => {
  if (unhandled) process.exitCode = 1;
});

/** What came of a function of the package in another process or thread. */
export interface Outcome {
  value?: unknown;
  error?: Failure & { cause?: Failure };
  /** Whether the error was a BallermannError there. */
  typed?: boolean;
}

/** Supervises replicas of gate.mjs, two unless told otherwise. */
export function gated(options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  return start({ exec: fixture('gate.mjs'), ...options });
}

/** A message whose handler runs until `release`. */
export function hold(key: string): { op: 'hold'; key: string } {
  return { op: 'hold', key };
}

export function note(value: unknown): { op: 'note'; value: unknown } {
  return { op: 'note', value };
}

export async function release(pid: number, key: string): Promise<void> {
  await call(pid, { op: 'release', key });
}

export function journal(pid: number): Promise<unknown[]> {
  return call<unknown[]>(pid, { op: 'journal' }, { timeout: 30_000 }); // tens of MiB may be on their way before it
}

/** Resolves when the replica has noted `entry`. */
export async function noted(pid: number, entry: unknown): Promise<void> {
  await until(async () => (await journal(pid)).includes(entry), `'${entry}' of replica ${pid}`);
}

export function attempt(pid: number, what: string, ...args: unknown[]): Promise<Outcome> {
  return call<Outcome>(pid, { op: 'attempt', what, args });
}

/** The pids of the replicas that are up. */
export function upPids(supervisor: Supervisor): number[] {
  return supervisor
    .children()
    .filter(({ state }) => state === 'up')
    .map(({ pid }) => pid as number);
}

/** The pid of a child that is known to be there. */
export function pidAt(pids: readonly number[], index: number): number {
  const pid = pids[index];
  if (pid === undefined) throw new Error(`there are only ${pids.length} pids`);
  return pid;
}

/** A worker thread of this process that uses the package as it is told. */
export class Thread implements AsyncDisposable {
  readonly #worker = new Worker(fixture('thread.mjs'));
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  #lastId = 0;

  static async start(): Promise<Thread> {
    const thread = new Thread();
    await once(thread.#worker, 'online');
    return thread;
  }

  private constructor() {
    this.#worker.on('message', ({ id, outcome }: { id: number; outcome: Outcome }) => {
      this.#waiting.get(id)?.(outcome);
      this.#waiting.delete(id);
    });
  }

  attempt(what: string, ...args: unknown[]): Promise<Outcome> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#worker.postMessage({ id, what, args });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Runs `task` while a window of the pool is open; not inside it, where the pool's calls are refused. */
export async function duringWindow<T>(pool: Balancer, task: () => T | PromiseLike<T>): Promise<T> {
  const ending = deferred();
  const window = pool.applyWithin(() => ending.promise); // open when this returns
  try {
    return await task();
  } finally {
    ending.resolve();
    await window;
  }
}

/** A window that lasts until `end`. */
export interface OpenWindow {
  end(): Promise<void>;
}

/** Opens one when all that runs has ended. @param wait of applyWithin. */
export async function openWindow(pool: Balancer, wait: (pid: number) => unknown): Promise<OpenWindow> {
  const opened = deferred();
  const ending = deferred();
  const fn = (): Promise<void> => {
    opened.resolve();
    return ending.promise;
  };
  const window = later(pool.applyWithin(fn, wait));
  await Promise.race([opened.promise, window]);
  return {
    end: () => {
      ending.resolve();
      return window;
    },
  };
}

/** Watches a promise without waiting for it. */
export function watch(promise: Promise<unknown>): { readonly settled: boolean } {
  const state = { settled: false };
  const settle = (): void => {
    state.settled = true;
  };
  promise.then(settle, settle);
  return state;
}
