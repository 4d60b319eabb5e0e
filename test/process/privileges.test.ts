/**
 * Replicas, or a primary, that have become another user: the kernel forgets then what it was to do at the primary's death,
 * and refuses signals between the two. For root alone, who may become another.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stopped } from '../support/failing.js';
import { until } from '../support/helpers.js';
import { gone, isAlive, Primary, stateOf } from '../support/processes.js';

const test = suite('', undefined);
const root = process.platform === 'linux' && process.getuid?.() === 0 ? test : test.skip;

/** How long an orphan may live. */
const LIMIT = 1_000; // ms

/** The effective user and group that a process has. */
function ids(pid: number): [number, number] {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const effective = (which: string) =>
    Number(new RegExp(`^${which}:\\s+\\d+\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return [effective('Uid'), effective('Gid')];
}

const hasDropped = (pid: number): boolean => ids(pid).includes(65_534);

/**
 * Whether it is another user, and every thread but the first waits again: the one that asks the kernel anew has done so. A
 * process that is stopped before lives on; that is a matter of microseconds, but for a loaded machine.
 */
const hasSettled = (pid: number): boolean =>
  hasDropped(pid) &&
  readdirSync(`/proc/${pid}/task`).every(
    (thread) => Number(thread) === pid || stateOf(Number(thread)) === 'S',
  );

/** One replica does what each message says. */
async function dropping(messages: object[], isStopped: boolean): Promise<void> {
  const message = messages.map((how) => ({ op: 'drop', ...how }));
  await using primary = new Primary({
    message,
    supervisor: { replicas: messages.length, blockedAfter: 60_000 },
  });
  const pids = await primary.ready();
  await until(() => pids.every(hasSettled), 'all to be another user');
  if (isStopped) await Promise.all(pids.map(stopped));
  primary.process.kill('SIGKILL');
  await primary.exited;
  await gone(pids, LIMIT);
}

root(
  'SIGKILL of the primary, its replicas have dropped their privileges and are busy: all are gone within 1 s',
  () => dropping([{ how: 'all', spins: true }, { how: 'setgid', spins: true }, { how: 'seteuid' }], false),
);

root(
  'SIGKILL of the primary, its replicas have dropped their privileges and are stopped: all are gone within 1 s',
  () => dropping([{ how: 'all' }, { how: 'setuid', spins: true }, { how: 'setgid' }], true),
);

root(
  'SIGKILL of a primary that is no longer root, its replicas still are, and busy: all are gone within 1 s',
  async () => {
    await using primary = new Primary({
      message: { op: 'spin' },
      drops: true,
      supervisor: { replicas: 2, blockedAfter: 60_000 },
    });
    const pids = await primary.ready();
    await until(
      () => hasDropped(primary.pid) && pids.every((pid) => stateOf(pid) === 'R'),
      'all to be as wanted',
    );
    primary.process.kill('SIGKILL');
    await primary.exited;
    await gone(pids, LIMIT);
  },
);

root(
  'a primary that is no longer root replaces a hung replica that still is; of a stopped one it says so',
  async () => {
    await using primary = new Primary({
      message: [{ op: 'spin' }, { op: 'sleep', ms: 0 }],
      drops: true,
      supervisor: { replicas: 2, shutdown: 200, blockedAfter: 60_000 },
    });
    const [busy, still] = (await primary.ready()) as [number, number];
    await stopped(still);
    primary.process.kill('SIGHUP');
    await primary.line('reloaded');
    assert.not(isAlive(busy));
    assert.is(stateOf(still), 'T');
    assert.match(primary.errors, `(pid ${still}) cannot be killed (EPERM)`);
    process.kill(still, 'SIGCONT');
    await gone([still], LIMIT, 'SIGCONT');

    const late = (await primary.line('up', 2))['pid'] as number;
    assert.ok(hasDropped(late));
  },
);

test.run();
