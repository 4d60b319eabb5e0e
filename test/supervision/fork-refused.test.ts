/**
 * The system refuses to make processes: for want of processes (EAGAIN), descriptors (EMFILE) or memory (ENOMEM). By
 * limits of the primary's own where there are such; none for memory hits a fork and not V8, so libc refuses it there.
 */

import { execFileSync } from 'node:child_process';
import cluster from 'node:cluster';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, rejects, start } from '../support/helpers.js';
import { Folder, isAlive, type Line, later, Primary, type PrimaryOptions } from '../support/processes.js';

const test = suite('', undefined);
const linux = process.platform === 'linux' ? test : test.skip;

/** As many as with which a supervisor would give up, were they restarts. */
const INTENSITY = 3;
const REFUSALS = 2 * INTENSITY;
const BACKOFF = { initial: 20, max: 50 };

async function ask(primary: Primary): Promise<Line> {
  const told = primary.said('state').length;
  primary.process.kill('SIGUSR2');
  return primary.line('state', told + 1);
}

/**
 * While forks are refused, a replica dies. The primary goes on with the other and tries again, later and later, until
 * there is a process to be had.
 */
async function survives(
  code: string,
  refuse: (primary: Primary) => void,
  allow: (primary: Primary) => void,
  options: Partial<PrimaryOptions> = {},
): Promise<void> {
  await using primary = new Primary({
    ...options,
    supervisor: { replicas: 2, intensity: INTENSITY, period: 60_000, backoff: BACKOFF },
  });
  const [victim, other] = (await primary.ready()) as [number, number];
  refuse(primary);
  process.kill(victim, 'SIGKILL');
  await primary.line('forkFailed', REFUSALS);
  const refusals = primary.said('forkFailed');
  assert.equal([...new Set(refusals.map((line) => line['code']))], [code]);
  const delays = refusals.slice(0, REFUSALS).map((line) => line['retryIn'] as number);
  assert.ok(
    delays.slice(1).every((ms) => ms >= BACKOFF.initial / 2 && ms <= BACKOFF.max),
    `${delays}`,
  );
  assert.ok(
    delays.slice(3).every((ms) => ms >= BACKOFF.max / 2),
    `${delays} ms: it backs off`,
  );
  const during = await ask(primary);
  assert.equal(during['pids'], [other]);
  assert.is(during['workers'], 1, 'node:cluster keeps nothing of what was refused');
  assert.ok(isAlive(other));

  allow(primary);
  await primary.line('up');
  const { children } = (await ask(primary)) as unknown as { children: { state: string }[] };
  assert.equal(
    children.map(({ state }) => state),
    ['up', 'up'],
  );
  assert.is(primary.said('down').length, 1, 'only what has lived can die');
  assert.equal(primary.said('gaveUp'), []);
  primary.process.kill('SIGTERM');
  assert.is((await primary.ended).code, 0);
}

/** Sets a soft limit of a running process, as the user that it runs as. */
function limit({ pid }: Primary, what: string, value: number, through: readonly string[] = []): void {
  const [command, ...args] = [...through, 'prlimit', `--pid=${pid}`, `--${what}=${value}:`] as string[] as [
    string,
  ];
  execFileSync(command, args);
}

linux('no descriptor is left (EMFILE): the primary lives, backs off and recovers', () =>
  survives(
    'EMFILE',
    (primary) => limit(primary, 'nofile', 3),
    (primary) => limit(primary, 'nofile', 1024),
  ),
);

/** The limit of processes does not hold for root: some user that has no other process. */
const NOBODY = ['setpriv', '--reuid=54321', '--regid=54321', '--clear-groups'] as const;
const user: readonly string[] = process.getuid?.() === 0 ? NOBODY : [];

/** Why the other user can run nothing of ours; undefined where it can. */
const hindrance = ((): string | undefined => {
  try {
    const script = fileURLToPath(fixture('lifecycle/primary.mjs'));
    const [command, ...args] = [...user, process.execPath, '--check', script] as string[] as [string];
    execFileSync(command, args, { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return String(error);
  }
})();
if (hindrance !== undefined) console.log(`no test with a limit of processes: ${hindrance}`);

(hindrance === undefined ? linux : test.skip)(
  'no process is left (EAGAIN): the primary lives, backs off and recovers',
  () =>
    survives(
      'EAGAIN',
      (primary) => limit(primary, 'nproc', 1, user),
      (primary) => limit(primary, 'nproc', 1024, user),
      { through: user },
    ),
);

/** What makes a process run with a fork() that fails while the file is there. */
function refusable(folder: Folder): string[] {
  const library = folder.at('refuse-fork.so');
  const source = fileURLToPath(fixture('refuse-fork.c'));
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, source, '-ldl']);
  return ['env', `LD_PRELOAD=${library}`, `REFUSE_FORK=${folder.at('refuse')}`];
}

for (const code of ['ENOMEM', 'EAGAIN'] as const) {
  linux(`fork() fails with ${code}: the primary lives, backs off and recovers`, async () => {
    using folder = new Folder();
    await survives(
      code,
      () => writeFileSync(folder.at('refuse'), `${constants.errno[code]}`),
      () => rmSync(folder.at('refuse')),
      { through: refusable(folder) },
    );
  });
}

linux(
  'a first start, or a reload, that the system refuses fails with its reason and leaves nothing',
  async () => {
    using folder = new Folder();
    const cwd = folder.at('cwd');
    mkdirSync(cwd);
    await using supervisor = await start({ cwd });
    const before = supervisor.children();
    const workers = Object.keys(cluster.workers ?? {});
    const refused = later(start({ cwd })); // has looked whether the folder is there, and has not forked yet
    rmSync(cwd, { recursive: true });
    for (const failing of [refused, supervisor.reload()]) {
      const { cause } = await rejects(failing, 'ERR_START_FAILED');
      assert.is((cause as NodeJS.ErrnoException).code, 'ENOENT');
    }
    assert.equal(supervisor.children(), before);
    assert.equal(Object.keys(cluster.workers ?? {}), workers);
  },
);

test.run();
