/**
 * SIGKILL of the primary at a random moment, in rounds, whatever its replicas do: all are gone within a second, and
 * nobody has the segment any more. BALLERMANN_ROUNDS says how many rounds each; CI and people's machines get a few.
 */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stopped } from '../support/failing.js';
import { Diary, Folder, gone, openFiles, Primary } from '../support/processes.js';

const test = suite('', undefined);
const linux = process.platform === 'linux' ? test : test.skip;

const ROUNDS = Number(process.env['BALLERMANN_ROUNDS'] ?? 2);
if (!Number.isSafeInteger(ROUNDS) || ROUNDS < 1)
  throw new RangeError(
    `BALLERMANN_ROUNDS must be a number of rounds; got ${process.env['BALLERMANN_ROUNDS']}`,
  );

/** How long a replica may outlive its primary. */
const LIMIT = 1_000; // ms

/** The primary is killed within as long after all is as the test wants it. */
const MOMENT = 30; // ms

/** What stands for the segment in /proc: the inode of a file that has no name. */
function segmentOf(pid: number): number {
  const found = openFiles(pid).filter(({ target }) => target.startsWith('/memfd:ballermann'));
  assert.is(found.length, 1);
  return statSync(`/proc/${pid}/fd/${found[0]?.fd}`).ino;
}

/** The processes that have the segment open or mapped. */
function holders(inode: number): number[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isSafeInteger);
  return pids.filter((pid) => {
    try {
      const maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
      if (maps.split('\n').some((line) => line.includes(` ${inode} `) && line.includes('memfd:ballermann')))
        return true;
      const descriptors = openFiles(pid).filter(({ target }) => target.startsWith('/memfd:ballermann'));
      return descriptors.some(({ fd }) => statSync(`/proc/${pid}/fd/${fd}`).ino === inode);
    } catch {
      return false; // gone meanwhile
    }
  });
}

function namesLikeOurs(): string[] {
  return (readdirSync('/dev/shm', { recursive: true }) as string[]).filter((name) =>
    /ballermann/i.test(name),
  );
}

/** What the replicas are called with, and what they are brought to then. */
interface Busyness {
  message?: { op: string };
  bring?: (pids: number[]) => unknown;
}

async function round({ message, bring }: Busyness): Promise<void> {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using primary = new Primary({ message, supervisor: { replicas: 2, env: { DIARY: diary.file } } });
  const pids = await primary.ready();
  if (message !== undefined) await diary.has(`begins ${message.op}`, pids.length);
  await bring?.(pids);
  const segment = segmentOf(primary.pid);
  assert.equal(holders(segment).sort(), [primary.pid, ...pids].sort());
  await sleep(Math.random() * MOMENT);
  primary.process.kill('SIGKILL');
  const { signal } = await primary.exited;
  assert.is(signal, 'SIGKILL');
  await gone(pids, LIMIT);
  assert.equal(holders(segment), []);
  assert.equal(namesLikeOurs(), []);
}

async function rounds(busyness: Busyness): Promise<void> {
  for (let i = 0; i < ROUNDS; i++) await round(busyness);
}

linux('SIGKILL of the primary, its replicas idle: all are gone within 1 s, and so is the segment', () =>
  rounds({}),
);

linux(
  'SIGKILL of the primary, its replicas in mid-call: all are gone within 1 s, and so is the segment',
  () => rounds({ message: { op: 'hang' } }),
);

linux(
  'SIGKILL of the primary, its replicas in busy loops: all are gone within 1 s, and so is the segment',
  () => rounds({ message: { op: 'spin' } }),
);

linux('SIGKILL of the primary, its replicas stopped: all are gone within 1 s, and so is the segment', () =>
  rounds({
    bring: (pids) => Promise.all(pids.map(stopped)),
  }),
);

test.run();
