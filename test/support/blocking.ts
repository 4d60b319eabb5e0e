/** What the tests of replicas whose event loop does not turn share: how it is made to stand still, and what is told of it. */

import { existsSync } from 'node:fs';
import { call, type HungEvent, type Supervisor } from 'ballermann';
import { replicaOf } from '#src/primary/replicas/registry.js';
import { stopped } from './failing.js';
import { until } from './helpers.js';
import { type Folder, later } from './processes.js';

/** Limits that a test does not wait for long, and that a busy machine does not reach by itself. */
export const SHORT = 200; // ms

/** Everything that the supervisor tells from now on of loops that do not turn: the events' names, by pid. */
export function storyOf(supervisor: Supervisor): { of(pid: number): string[] } {
  const story: [pid: number, name: string][] = [];
  for (const name of ['blocked', 'unblocked', 'hung'] as const)
    supervisor.on(name, ({ pid }: HungEvent) => story.push([pid, name]));
  return { of: (pid) => story.filter(([whose]) => whose === pid).map(([, name]) => name) };
}

/** A call that has a replica's event loop stand still until `end`; resolves when that has begun. */
export async function block(folder: Folder, pid: number): Promise<{ end(): void; reply: Promise<unknown> }> {
  const file = `${pid}-${Math.random()}`;
  const reply = later(call(pid, { op: 'block', file: folder.at(file) }, { timeout: 60_000 }));
  await until(() => folder.has(`${file}.begun`), `replica ${pid} to be busy`);
  return { end: () => folder.open(file), reply };
}

/** The next event of that name for that pid. */
export function told(
  supervisor: Supervisor,
  name: 'blocked' | 'unblocked' | 'hung',
  pid: number,
): Promise<HungEvent> {
  let seen: HungEvent | undefined;
  const note = (event: HungEvent): void => {
    if (event.pid === pid) seen ??= event;
  };
  supervisor.on(name, note);
  const event = until(() => seen, `'${name}' of ${pid}`).finally(() => supervisor.off(name, note));
  return later(event as Promise<HungEvent>);
}

/** Stops it (SIGSTOP) while its event loop waits for work. */
export async function stoppedIdle(pid: number): Promise<void> {
  await until(async () => {
    await stopped(pid);
    if (replicaOf(pid).look().busySince === 0n) return true;
    process.kill(pid, 'SIGCONT');
    return false;
  }, `${pid} to be stopped in its poll`);
}

/** Keeps this process busy until the file is there. */
export function busyUntil(path: string): void {
  const end = performance.now() + 20_000;
  while (!existsSync(path)) if (performance.now() > end) throw new Error(`waited 20 s for ${path}`);
}
