/** A primary as PID 1 of a pid namespace, which is what it is in a container without an init. */

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { until } from '../support/helpers.js';
import { Diary, Folder, NEW_NAMESPACE, Primary, type PrimaryOptions, stateOf } from '../support/processes.js';

/** Why a namespace cannot be made here; undefined where it can. */
const hindrance = ((): string | undefined => {
  try {
    const [command, ...args] = NEW_NAMESPACE;
    args.push(process.execPath, '-p', 'process.pid');
    const pid = execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' }).trim();
    return pid === '1' ? undefined : `the pid in a new namespace is ${pid}`;
  } catch (error) {
    return String(error);
  }
})();
if (hindrance !== undefined) console.log(`no pid namespaces here, the tests are skipped: ${hindrance}`);
const inContainer = hindrance === undefined ? test : test.skip;

/** Two replicas that keep a diary; `env` as lifecycle/replica.mjs has it. */
function contained(
  folder: Folder,
  env: Record<string, string>,
  { supervisor, ...options }: Partial<PrimaryOptions> = {},
): Primary {
  return new Primary({
    container: true,
    ...options,
    supervisor: { replicas: 2, env: { DIARY: new Diary(folder).file, ...env }, ...supervisor },
  });
}

/** Parent and state of every process, as seen from outside of the namespace. */
function processes(): { pid: number; parent: number; state: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ') as [string, string];
      return [{ pid: Number(name), parent: Number(parent), state }];
    } catch {
      return []; // gone meanwhile
    }
  });
}

function childrenOf(pid: number) {
  return processes().filter(({ parent }) => parent === pid);
}

/** The pid that PID 1 of the namespace has out here. */
function outerPid({ pid }: Primary): number {
  const [init] = childrenOf(pid);
  if (init === undefined) throw new Error('there is no process in the namespace');
  return init.pid;
}

inContainer(
  'SIGTERM: calls are finished, hooks run, and it exits with 0 as soon as the last replica has',
  async () => {
    using folder = new Folder();
    const diary = new Diary(folder);
    const env = { GATE: folder.at('gate'), HOOKS: '["slow"]' };
    await using primary = contained(folder, env, { calls: 4, message: { op: 'gate' } });
    await primary.ready();
    const init = outerPid(primary);
    assert.is(childrenOf(init).length, 2, 'the replicas');
    await diary.has('begins gate', 4);
    process.kill(init, 'SIGTERM');
    await primary.line('disconnect');
    assert.equal(primary.said('answer'), []);
    folder.open('gate');
    await primary.line('down', 2);
    const seen = performance.now();
    const { code, signal, at } = await primary.ended;
    assert.equal({ code, signal }, { code: 0, signal: null });
    assert.ok(at - seen < 1_000);
    assert.is(primary.said('answer').length, 4);
    assert.is(diary.read().filter((line) => line === 'hook 0 ends').length, 2);
    assert.is(stateOf(init), undefined);
  },
);

inContainer('it exits with 1 when a replica had to be killed', async () => {
  using folder = new Folder();
  await using primary = contained(folder, { HOOKS: '["hangs"]' }, { supervisor: { shutdown: 300 } });
  await primary.ready();
  process.kill(outerPid(primary), 'SIGTERM');
  assert.is((await primary.ended).code, 1);
});

inContainer('SIGHUP reloads', async () => {
  using folder = new Folder();
  await using primary = contained(folder, {});
  const before = await primary.ready();
  process.kill(outerPid(primary), 'SIGHUP');
  const { pids } = await primary.line('reloaded');
  for (const pid of pids as number[]) assert.not(before.includes(pid));
});

inContainer('orphans are taken away when they have ended', async () => {
  using folder = new Folder();
  await using primary = contained(folder, {}, { message: { op: 'orphan' } });
  await primary.ready();
  const init = outerPid(primary);
  const zombies = () => childrenOf(init).filter(({ state }) => state === 'Z');
  await until(() => zombies().length === 2, 'the orphans of both replicas to end');
  await until(() => zombies().length === 0, 'them to be taken away', 30_000);
  assert.is(childrenOf(init).length, 2, 'the replicas are still there');
  process.kill(init, 'SIGTERM');
  assert.is((await primary.ended).code, 0);
});

test.run();
