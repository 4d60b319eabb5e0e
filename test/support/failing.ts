/** What the tests of provoked failures share: replicas of failures/replica.mjs, and processes that stand still or are dead. */

import type { CallOptions, Supervisor, SupervisorOptions } from 'ballermann';
import { fixture, start, until } from './helpers.js';
import { type Folder, stateOf, statesOf } from './processes.js';

/** For calls whose end has another reason than time. */
export const patient: CallOptions = { timeout: 20_000 };

/** Two replicas of failures/replica.mjs unless told otherwise, in that folder: what they leave there goes with it. */
export function failing(folder: Folder, options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  return start({
    exec: fixture('failures/replica.mjs'),
    cwd: folder.path,
    shutdown: 1_000,
    intensity: 100,
    backoff: { initial: 1, max: 1 },
    ...options,
  });
}

/** Resolves when that replica's handler runs. */
export function begun(folder: Folder, pid: number, key: string): Promise<unknown> {
  return until(() => folder.has(`begun ${key} ${pid}`), `${key} to begin in ${pid}`);
}

/** Stops it (SIGSTOP), and resolves when it does nothing any more: each of its threads goes on until it hears of it. */
export async function stopped(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await until(() => statesOf(pid).every((state) => state === 'T'), `${pid} to be stopped`);
}

/** Has it killed, and returns when it is dead: in the same turn, so that this process cannot have heard of it. */
export function killedUnseen(pid: number): void {
  process.kill(pid, 'SIGKILL');
  standStill(() => stateOf(pid) === 'Z', `the end of ${pid}`);
}

/** Waits and keeps the event loop from turning meanwhile. */
export function standStill(condition: () => boolean, what: string): void {
  const end = performance.now() + 10_000;
  while (!condition()) if (performance.now() > end) throw new Error(`waited 10 s for: ${what}`);
}

/** A script that is ready at once, and that does `then` as soon as `gate` is in the folder. */
export function readyThen(
  folder: Folder,
  then: string,
  when = `existsSync(${JSON.stringify(folder.at('gate'))})`,
): string {
  return folder.script(
    'ready.mjs',
    `
    import { handle } from ${JSON.stringify(import.meta.resolve('ballermann/replica'))};
    import { existsSync } from 'node:fs';
    handle(() => process.pid);
    setInterval(() => { if (${when}) { ${then} } }, 5);
    `,
  );
}
