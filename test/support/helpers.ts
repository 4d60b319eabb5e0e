/** What the test files share: fixtures, waiting for what happens, checks of errors. */

import { type EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type DownEvent, type Supervisor, type SupervisorOptions, supervise } from 'ballermann';
import * as assert from 'uvu/assert';

/** A file of test/fixtures, from the compiled tests. */
export function fixture(name: string): URL {
  return new URL(`../../../test/fixtures/${name}`, import.meta.url);
}

/**
 * Supervises replicas of echo.mjs, two unless told otherwise. The caller closes it: `await using` will do. None counts as
 * blocked unless that is asked for: on a busy machine any can seem so for a moment, and a rotation without it is another.
 */
export function start(options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  const blockedAfter = Number.POSITIVE_INFINITY;
  return supervise({ exec: fixture('echo.mjs'), replicas: 2, blockedAfter, ...options });
}

/** Waits until `condition` gives something truthy, and gives that; fails after `ms`, saying what did not come (by then). */
export async function until<T>(
  condition: () => T | PromiseLike<T>,
  what: string | (() => string),
  ms = 10_000,
): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end)
      throw new Error(`waited ${ms} ms for: ${typeof what === 'string' ? what : what()}`);
    await sleep(5);
  }
}

/** The arguments of the next such event; fails where it does not come within 10 s. */
export function next<T extends unknown[]>(emitter: EventEmitter, name: string): Promise<T> {
  const event = once(emitter, name, { signal: AbortSignal.timeout(10_000) }).catch((cause) => {
    throw cause.name === 'AbortError' ? new Error(`waited 10 s for the event '${name}'`, { cause }) : cause;
  });
  event.catch(() => {}); // where the test has failed before it waits
  return event as Promise<T>;
}

/** Kills one of the supervisor's replicas and waits until the primary has seen it. */
export async function killed(supervisor: Supervisor, pid: number): Promise<DownEvent> {
  const down = downOf(supervisor, pid);
  process.kill(pid, 'SIGKILL');
  return down;
}

/** The 'down' of that pid. */
export async function downOf(supervisor: Supervisor, pid: number): Promise<DownEvent> {
  let seen: DownEvent | undefined;
  const note = (event: DownEvent): void => {
    if (event.pid === pid) seen ??= event;
  };
  supervisor.on('down', note); // one listener for all: between two of them an event could be missed
  try {
    return (await until(() => seen, `the end of replica ${pid}`)) as DownEvent;
  } finally {
    supervisor.off('down', note);
  }
}

/** An error as the tests look at it. */
export type Failure = Error & {
  code?: string;
  pid?: number;
  exitCode?: number | null;
  signal?: string | null;
};

/** What an error must be: its code, or more of it. */
export type Expected = string | { code: string; name?: string; message?: RegExp };

/** @returns what the promise rejects with, checked. */
export async function rejects(promise: PromiseLike<unknown>, expected: Expected): Promise<Failure> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return check(error, expected);
  }
  return assert.unreachable(`expected ${show(expected)}; resolved with ${String(value)}`) as never;
}

/** @returns what the function throws, checked. */
export function throws(fn: () => unknown, expected: Expected): Failure {
  let value: unknown;
  try {
    value = fn();
  } catch (error) {
    return check(error, expected);
  }
  return assert.unreachable(`expected ${show(expected)}; returned ${String(value)}`) as never;
}

function check(error: unknown, expected: Expected): Failure {
  const wanted = typeof expected === 'string' ? { code: expected } : expected;
  assert.instance(error, Error);
  const failure = error as Failure;
  assert.is(failure.code, wanted.code, `expected ${show(expected)}; got ${failure.stack}`);
  if ('name' in wanted) assert.is(failure.name, wanted.name);
  if (wanted.message !== undefined) assert.match(failure.message, wanted.message);
  return failure;
}

function show(expected: Expected): string {
  return typeof expected === 'string' ? expected : `${expected.code} ${expected.message ?? ''}`;
}

/** How often each value comes. */
export function tally<T>(values: Iterable<T>): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** How far the largest count is from the smallest. */
export function spread(counts: readonly number[]): number {
  return Math.max(...counts) - Math.min(...counts);
}

/** `count` results of `fn`, in order. */
export function times<T>(count: number, fn: () => T): T[] {
  return Array.from({ length: count }, fn);
}

/** A worker thread that runs rotation/thread.mjs and does what it is asked. */
export class Thread implements AsyncDisposable {
  readonly #worker = new Worker(fixture('rotation/thread.mjs'));

  /** @returns what the operation gave. @throws an error with the code of what it threw. */
  async ask<T>(message: object): Promise<T> {
    const answer = once(this.#worker, 'message');
    this.#worker.postMessage(message);
    const [{ value, error }] = await answer;
    if (error !== undefined) throw Object.assign(new Error(error.message), error);
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}
