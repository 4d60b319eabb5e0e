/** What is left when a primary dies, and what of its segment others can see: nothing. Linux, since /proc shows it. */

import { spawn } from 'node:child_process';
import cluster from 'node:cluster';
import { once } from 'node:events';
import { closeSync, fstatSync, ftruncateSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { call, type Supervisor, supervise } from 'ballermann';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stopped } from '../support/failing.js';
import { fixture, start } from '../support/helpers.js';
import { Diary, event, Folder, gone, isAlive, lifecycle, openFiles, Primary } from '../support/processes.js';

const test = suite('', undefined);
const linux = process.platform === 'linux' ? test : test.skip;

/** How long an orphan may live. */
const LIMIT = 1_000;

/** Kills the primary and waits until none of these processes is left. */
async function leavesNone(primary: Primary, pids: number[]): Promise<void> {
  assert.ok(pids.length > 0);
  assert.equal(pids.filter(isAlive), pids, 'they live until their primary dies');
  primary.process.kill('SIGKILL');
  const { signal } = await primary.exited;
  assert.is(signal, 'SIGKILL');
  await gone(pids, LIMIT);
}

function startPrimary(folder: Folder, message?: unknown, env: Record<string, string> = {}): Primary {
  return new Primary({
    message,
    supervisor: { replicas: 2, env: { DIARY: new Diary(folder).file, ...env } },
  });
}

linux('idle replicas die with their primary', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder);
  await leavesNone(primary, await primary.ready());
});

linux('replicas in mid-call die with their primary', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder, { op: 'hang' });
  const pids = await primary.ready();
  await new Diary(folder).has('begins hang', 2);
  await leavesNone(primary, pids);
});

linux('replicas that never give their event loop back die with their primary', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder, { op: 'spin' });
  const pids = await primary.ready();
  await new Diary(folder).has('begins spin', 2);
  await leavesNone(primary, pids);
});

linux('stopped (SIGSTOP) replicas die with their primary', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder);
  const pids = await primary.ready();
  await Promise.all(pids.map(stopped));
  await leavesNone(primary, pids);
});

linux('replicas in the shutdown hooks die with their primary', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder, undefined, { HOOKS: '["hangs"]' });
  const pids = await primary.ready();
  primary.process.kill('SIGTERM');
  await new Diary(folder).has('hook 0 begins: SIGTERM', 2);
  await leavesNone(primary, pids);
});

linux('replicas that are loading, in a top-level await, die with their primary', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder, undefined, { LOAD_GATE: folder.at('never') });
  const pids = await primary.forked(2);
  await new Diary(folder).has('loading', 2);
  await leavesNone(primary, pids);
});

linux('replicas that have hardly begun die with their primary', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder);
  const pids = await primary.forked(2);
  primary.process.kill('SIGKILL');
  await primary.exited;
  // They learn of it once Node has started in them, which takes as long as it takes.
  await gone(pids);
});

linux('replicas die with a primary that ends by an uncaught error or process.exit() as well', async () => {
  using folder = new Folder();
  const script = folder.script(
    'main.mjs',
    `
    import { supervise } from ${JSON.stringify(import.meta.resolve('ballermann'))};
    const supervisor = await supervise({ exec: process.argv[2], replicas: 2 });
    console.log(supervisor.children().map(({ pid }) => pid).join());
    if (process.argv[3] === 'exit') process.exit(3);
    else throw new Error('on purpose');
    `,
  );
  for (const [how, expected] of [
    ['exit', 3],
    ['throw', 1],
  ] as const) {
    const child = spawn(process.execPath, [script, fileURLToPath(lifecycle), how], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    const [code] = await event<[number]>(child, 'exit');
    assert.is(code, expected);
    const pids = output.trim().split(',').map(Number);
    assert.is(pids.length, 2);
    await gone(pids, LIMIT, how);
  }
});

const isSegment = ({ target }: { target: string }): boolean => target.includes('memfd:ballermann');

/** The descriptor of this process's own segment. */
function ownSegment(): number {
  const found = openFiles(process.pid).filter(({ target }) => target.startsWith('/memfd:ballermann'));
  assert.is(found.length, 1, 'a primary has one segment, whatever number of supervisors it has');
  return found[0]?.fd as number;
}

function pidsOf(supervisor: Supervisor): number[] {
  return supervisor.children().map(({ pid }) => pid as number);
}

linux('a replica maps the segment and holds no descriptor of it', async () => {
  await using supervisor = await start();
  await using _another = await start({ replicas: 1 });
  ownSegment();
  for (const pid of pidsOf(supervisor)) {
    assert.match(readFileSync(`/proc/${pid}/maps`, 'utf8'), '/memfd:ballermann');
    assert.equal(openFiles(pid).filter(isSegment), []);
  }
});

linux('no process that a replica starts sees the segment or a variable of ours', async () => {
  using folder = new Folder();
  await using supervisor = await supervise({
    exec: lifecycle,
    replicas: 1,
    env: { DIARY: new Diary(folder).file },
  });
  const [replica] = pidsOf(supervisor) as [number];
  const grandchild = await call<number>(replica, { op: 'spawn' });
  assert.is(isAlive(grandchild), true);
  assertUnaware(grandchild);
});

linux('no process that the primary starts otherwise sees the segment or a variable of ours', async () => {
  await using _supervisor = await start({ replicas: 1 });
  const other = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  cluster.setupPrimary({ exec: fileURLToPath(fixture('lifecycle/worker.cjs')) });
  const worker = cluster.fork();
  try {
    await Promise.all([once(other, 'spawn'), once(worker, 'online')]);
    assertUnaware(other.pid as number);
    assertUnaware(worker.process.pid as number);
  } finally {
    const ends = [once(other, 'exit'), once(worker, 'exit')];
    other.stdin.end();
    worker.disconnect();
    await Promise.all(ends);
  }
});

function assertUnaware(pid: number): void {
  assert.equal(openFiles(pid).filter(isSegment), []);
  assert.not(readFileSync(`/proc/${pid}/maps`, 'utf8').includes('memfd:ballermann'));
  const names = readFileSync(`/proc/${pid}/environ`, 'utf8')
    .split('\0')
    .map((variable) => variable.split('=')[0] as string)
    .filter((name) => name.startsWith('BALLERMANN_') && !(name in process.env))
    .filter((name) => name !== 'BALLERMANN_INDEX'); // a replica's own processes may want to know it
  assert.equal(names, []);
}

linux('the segment cannot be resized, by its owner or through /proc', async () => {
  await using _supervisor = await start({ replicas: 1 });
  const own = ownSegment();
  const { size } = fstatSync(own);
  assert.ok(size > 0);
  const reopened = openSync(`/proc/${process.pid}/fd/${own}`, 'r+');
  try {
    for (const fd of [own, reopened]) {
      for (const bytes of [size + 1, 2 * size, size - 1, 0]) {
        assert.throws(
          () => ftruncateSync(fd, bytes),
          (error: NodeJS.ErrnoException) => error.code === 'EPERM',
          `${bytes} bytes`,
        );
      }
    }
    assert.is(fstatSync(own).size, size);
  } finally {
    closeSync(reopened);
  }
});

linux('the segment has no name in the file system', async () => {
  await using _supervisor = await start({ replicas: 1 });
  ownSegment();
  const names = readdirSync('/dev/shm', { recursive: true }) as string[];
  assert.equal(
    names.filter((name) => /ballermann/i.test(name)),
    [],
  );
});

test.run();
