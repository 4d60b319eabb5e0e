/** SIGTERM, SIGINT and SIGHUP, to a primary, to a whole process group, to one replica. Primaries are child processes here. */

import { spawn } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { balance, call, type SupervisorOptions, supervise, type UpEvent } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { downOf, until } from '../support/helpers.js';
import {
  Diary,
  event,
  Folder,
  gone,
  isAlive,
  type Line,
  later,
  lifecycle,
  Primary,
  type PrimaryOptions,
} from '../support/processes.js';

/** A primary with two replicas that keep a diary, run two hooks, and have three calls each behind the gate. */
function startPrimary(
  folder: Folder,
  options: Partial<PrimaryOptions> = {},
  env: Record<string, string> = {},
): Primary {
  return new Primary({
    calls: 6,
    message: { op: 'gate' },
    ...options,
    supervisor: {
      replicas: 2,
      env: { DIARY: new Diary(folder).file, GATE: folder.at('gate'), HOOKS: '["slow", "ok"]', ...env },
      ...options.supervisor,
    },
  });
}

function hookLines(reason: string): string[] {
  return [`hook 0 begins: ${reason}`, 'hook 0 ends', `hook 1 begins: ${reason}`, 'hook 1 ends'];
}

/** How it is, as it answers after the signals that it has had. */
async function asked(primary: Primary): Promise<Line> {
  const told = primary.said('state').length;
  primary.process.kill('SIGUSR2');
  return primary.line('state', told + 1);
}

/** Sends the signal in mid-call, and checks that all came to a good end. */
async function endsInOrder(
  folder: Folder,
  primary: Primary,
  signal: 'SIGTERM' | 'SIGINT',
  send: () => void,
): Promise<void> {
  const diary = new Diary(folder);
  const pids = await primary.ready();
  await diary.has('begins gate', 6);
  send();
  await primary.line('disconnect'); // it hands out nothing from now on
  assert.equal(primary.said('answer'), []);
  assert.equal(pids.filter(isAlive), pids);
  folder.open('gate');

  const lastDown = await primary.line('down', 2);
  const seen = performance.now();
  const { code, signal: killedBy, at } = await primary.ended;
  assert.equal({ code, killedBy }, { code: 0, killedBy: null }, JSON.stringify(lastDown));
  assert.ok(at - seen < 1_000, 'nothing held it up once its last replica was gone');
  assert.is(primary.said('answer').length, 6);
  assert.equal(primary.said('failure'), []);
  for (const down of primary.said('down')) {
    assert.is(down['code'], 0);
    assert.is(down['signal'], null);
    assert.is(down['restart'], false);
  }
  for (const pid of pids) {
    const lines = diary.read(pid);
    assert.equal(lines.slice(-4), hookLines(signal));
    assert.is(lines.filter((line) => line === 'ends gate').length, 3);
    assert.not(isAlive(pid));
  }
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} to the primary: calls finish, hooks run, and it exits with 0`, async () => {
    using folder = new Folder();
    await using primary = startPrimary(folder);
    await endsInOrder(folder, primary, signal, () => primary.process.kill(signal));
  });

  test(`${signal} to the whole group, as from a terminal or a service manager, is no different`, async () => {
    using folder = new Folder();
    await using primary = startPrimary(folder, { ownGroup: true });
    await endsInOrder(folder, primary, signal, () => process.kill(-primary.pid, signal));
  });
}

test('a second signal, of either kind, does not hurry the end', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder, { ownGroup: true });
  await endsInOrder(folder, primary, 'SIGTERM', () => {
    primary.process.kill('SIGTERM');
    void primary.line('disconnect').then(() => {
      process.kill(-primary.pid, 'SIGINT');
      process.kill(-primary.pid, 'SIGTERM');
    });
  });
});

test('shutdown: 0 kills at once, which is an orderly end as it was asked for', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder, { supervisor: { shutdown: 0 } }, { HOOKS: '["hangs"]' });
  await primary.ready();
  primary.process.kill('SIGTERM');
  assert.is((await primary.ended).code, 0);
  assert.equal(
    primary.said('down').map(({ signal }) => signal),
    ['SIGKILL', 'SIGKILL'],
  );
  assert.equal(
    new Diary(folder).read().filter((line) => line.startsWith('hook')),
    [],
  );
});

test('the primary exits with 1 when a replica had to be killed', async () => {
  using folder = new Folder();
  const supervisor = { shutdown: 300 };
  await using primary = startPrimary(folder, { supervisor, calls: 0 }, { HOOKS: '["hangs"]' });
  const pids = await primary.ready();
  primary.process.kill('SIGTERM');
  assert.is((await primary.ended).code, 1);
  assert.equal(
    primary.said('down').map(({ signal }) => signal),
    ['SIGKILL', 'SIGKILL'],
  );
  assert.equal(pids.filter(isAlive), []);
});

test('a second SIGINT ends the primary at once with 130, and its replicas with it', async () => {
  using folder = new Folder();
  // In a session of its own, that is without a terminal.
  await using primary = startPrimary(folder, { ownGroup: true });
  const pids = await primary.ready();
  primary.process.kill('SIGTERM');
  await primary.line('disconnect');
  primary.process.kill('SIGINT');
  await asked(primary);
  assert.equal(pids.filter(isAlive), pids, 'the first does not hurry it');
  primary.process.kill('SIGINT');
  assert.is((await primary.ended).code, 130);
  await gone(pids, 1_000);
});

/** Its own words of what it listens for. */
const OWN_WORDS = ['own listener', 'flushed'];

test('an application that listens for SIGTERM itself may end what it does and decide about the exit', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using primary = startPrimary(folder, { ownListener: 'on', ownExit: true });
  const pids = await primary.ready();
  await diary.has('begins gate', 6);
  primary.process.kill('SIGTERM');
  await primary.line('disconnect');
  folder.open('gate');
  assert.is((await primary.ended).code, 7);
  for (const words of OWN_WORDS) assert.is(primary.said(words).length, 1);
  assert.is(primary.said('answer').length, 6);
  for (const pid of pids) assert.equal(diary.read(pid).slice(-4), hookLines('SIGTERM'));
});

test('… listens once, during the start, and then has nothing left to do: the process ends, supervise() throws nothing', async () => {
  using folder = new Folder();
  const options = {
    ownListener: 'once',
    endsByItself: true,
    supervisor: { replicas: 1, shutdown: 60_000 },
  } as const;
  await using primary = startPrimary(folder, options, { LOAD_GATE: folder.at('never') });
  const pids = await primary.forked(1);
  await new Diary(folder).has('loading');
  primary.process.kill('SIGTERM');
  assert.is((await primary.ended).code, 7);
  for (const words of OWN_WORDS) assert.is(primary.said(words).length, 1);
  assert.is(primary.errors, '');
  assert.equal(pids.filter(isAlive), []);
});

test('… listens once, before all others, and leaves a server open: the process ends when its time is over', async () => {
  using folder = new Folder();
  const options = {
    ownListener: 'prependOnceListener',
    supervisor: { replicas: 1, shutdown: 1_000 },
  } as const;
  await using primary = startPrimary(folder, { calls: 0, ...options });
  await primary.ready();
  primary.process.kill('SIGTERM');
  await primary.line('down');
  const seen = performance.now();
  const { code, at } = await primary.ended;
  assert.is(code, 7);
  assert.ok(at - seen > 500, `${at - seen} ms`);
  assert.is(primary.said('flushed').length, 1);
  assert.match(primary.errors, 'SIGTERM: the process listens for it itself, and had not ended 1000 ms');
});

test('two copies of the package in one primary: one signal stops the replicas of both, and the exit is 0', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  const copy = folder.at('copy');
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  for (const part of ['package.json', 'dist', join('build', 'Release', 'ballermann.node')])
    cpSync(join(root, part), join(copy, part), { recursive: true });
  const script = folder.script(
    'main.mjs',
    `import { supervise } from ${JSON.stringify(import.meta.resolve('ballermann'))};
    import { supervise as again } from ${JSON.stringify(pathToFileURL(join(copy, 'dist', 'index.js')).href)};
    setInterval(() => {}, 1_000);
    const options = { exec: process.argv[2], replicas: 1, shutdown: 60_000, env: { DIARY: process.argv[3], HOOKS: '["slow"]' } };
    await Promise.all([supervise(options), again(options)]);
    process.kill(process.pid, 'SIGTERM');`,
  );
  const child = spawn(process.execPath, [script, fileURLToPath(lifecycle), diary.file], { stdio: 'inherit' });
  try {
    await until(() => child.exitCode !== null || child.signalCode !== null, 'its end', 30_000);
  } finally {
    child.kill('SIGKILL');
  }
  assert.is(child.exitCode, 0);
  assert.is(diary.read().filter((line) => line === 'hook 0 ends').length, 2);
});

test('signals: false leaves all to the application: SIGTERM ends it at once', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder, { calls: 0, supervisor: { replicas: 1, signals: false } });
  const pids = await primary.ready();
  primary.process.kill('SIGTERM');
  assert.is((await primary.ended).signal, 'SIGTERM');
  await gone(pids, 1_000);
});

test('SIGTERM while the first replicas start: none is left, and the exit is 0', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using primary = startPrimary(folder, {}, { LOAD_GATE: folder.at('never') });
  const pids = await primary.forked(2);
  await diary.has('loading', 2);
  primary.process.kill('SIGTERM');
  assert.is((await primary.ended).code, 0);
  assert.equal(pids.filter(isAlive), []);
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  test(`after close() ${signal} has its usual effect again`, async () => {
    using folder = new Folder();
    await using primary = new Primary({
      closes: true,
      supervisor: { replicas: 1, env: { DIARY: new Diary(folder).file } },
    });
    await primary.line('closed');
    primary.process.kill(signal);
    assert.is((await primary.ended).signal, signal);
  });
}

for (const [whom, ownGroup] of [
  ['the primary', false],
  ['the whole group, as a terminal that goes sends it,', true],
] as const) {
  test(`SIGHUP to ${whom} reloads: calls finish, and every replica is another one`, async () => {
    using folder = new Folder();
    const diary = new Diary(folder);
    await using primary = startPrimary(folder, { ownGroup });
    const before = await primary.ready();
    await diary.has('begins gate', 6);
    process.kill(ownGroup ? -primary.pid : primary.pid, 'SIGHUP');
    await diary.has('loading', 3); // the first new one
    folder.open('gate');
    const { pids } = await primary.line('reloaded');
    for (const pid of pids as number[]) assert.not(before.includes(pid));
    assert.is(primary.said('answer').length, 6);
    assert.equal(
      primary.said('down').map(({ pid, code, restart }) => ({ pid, code, restart })),
      before.map((pid) => ({ pid, code: 0, restart: false })),
    );
    for (const pid of before) assert.equal(diary.read(pid).slice(-4), hookLines('reload'));
    primary.process.kill('SIGTERM');
    assert.is((await primary.ended).code, 0);
  });
}

test('however many SIGHUPs come during a reload, one more follows it', async () => {
  using folder = new Folder();
  await using supervisor = await live(folder, { replicas: 1 });
  let reloads = 0;
  supervisor.on('reloaded', () => reloads++);
  // The kernel would make one of them, now and then.
  for (let i = 0; i < 20; i++) process.emit('SIGHUP', 'SIGHUP');
  await until(() => reloads === 1, 'the first');
  await supervisor.reload(); // waits for all that were asked for
  await until(() => reloads === 3, 'the second, and this one');
  await supervisor.reload();
  assert.is(supervisor.children()[0]?.incarnation, 5);
});

test('an application that listens for SIGHUP itself hears it too', async () => {
  using folder = new Folder();
  await using primary = startPrimary(folder, {
    calls: 0,
    ownGroup: true,
    ownHangUp: true,
    supervisor: { replicas: 1 },
  });
  await primary.ready();
  primary.process.kill('SIGHUP');
  await primary.line('own hang-up');
  await primary.line('reloaded');
  primary.process.kill('SIGTERM');
  assert.is((await primary.ended).code, 0);
});

test('a reload by SIGHUP that fails: said by the event and on stderr, and the old replicas go on', async () => {
  using folder = new Folder();
  await using primary = startPrimary(
    folder,
    { calls: 0, supervisor: { replicas: 1 } },
    { FAIL_AFTER: folder.at('failing') },
  );
  const [pid] = (await primary.ready()) as [number];
  primary.process.kill('SIGHUP');
  const { code, message } = await primary.line('reloadFailed');
  assert.is(code, 'ERR_START_FAILED');
  assert.match(String(message), /failed on a later start/);
  await until(
    () => primary.errors.includes('ballermann: replica.mjs: the reload failed:'),
    'the words on stderr',
  );
  assert.is(isAlive(pid), true);
  primary.process.kill('SIGTERM');
  assert.is((await primary.ended).code, 0);
  assert.not(isAlive(pid));
});

/** Two replicas of this very process. */
function live(folder: Folder, options: Partial<SupervisorOptions> = {}) {
  const env = { DIARY: new Diary(folder).file, GATE: folder.at('gate'), HOOKS: '["slow", "ok"]' };
  return supervise({ exec: lifecycle, replicas: 2, shutdown: 2_000, env, ...options });
}

test('SIGTERM to one replica: it leaves the rotation, finishes, exits and is replaced; no call fails', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using supervisor = await live(folder);
  await using pool = await balance(supervisor, 'sigterm');
  const [leaver, other] = pool.pids() as [number, number];
  const gated = later(Promise.all(Array.from({ length: 10 }, () => pool.call<number>({ op: 'gate' }))));
  const direct = later(call<number>(leaver, { op: 'gate' }));
  await diary.has('begins gate', 11);

  let isOver = false;
  const load = later(
    Promise.all(
      Array.from({ length: 10 }, async () => {
        let answered = 0;
        while (!isOver) {
          await pool.call({ op: 'sleep', ms: 1 });
          answered++;
        }
        return answered;
      }),
    ),
  );
  const down = downOf(supervisor, leaver);
  const up = later(event<[UpEvent]>(supervisor, 'up'));
  process.kill(leaver, 'SIGTERM');
  await until(() => !pool.pids().includes(leaver), 'it to leave the rotation');
  assert.equal(
    supervisor.children().map(({ state }) => state),
    ['stopping', 'up'],
  );
  for (let i = 0; i < 10; i++) assert.is(pool.pid(), other);
  assert.is(isAlive(leaver), true, 'it still has calls to finish');
  folder.open('gate');

  const answers = await gated;
  assert.is(answers.filter((pid) => pid === leaver).length, 5);
  assert.is(await direct, leaver);
  const { code, signal, restart } = await down;
  assert.equal({ code, signal, restart }, { code: 0, signal: null, restart: true });
  assert.equal(diary.read(leaver).slice(-4), hookLines('SIGTERM'));
  const [{ pid: replacement }] = await up;
  await until(() => pool.pids().includes(replacement), 'the replacement in rotation'); // 1 of 2 is below the ratio
  isOver = true;
  for (const answered of await load) assert.ok(answered > 0);
  assert.is(pool.stats().redirected, 0, 'none had to be sent again');
});

test('SIGINT to one replica does nothing: a terminal sends it to all, and the primary decides', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using supervisor = await live(folder);
  const [pid] = supervisor.children().map(({ pid }) => pid) as [number];
  const running = later(call<number>(pid, { op: 'gate' }));
  await diary.has('begins gate');
  process.kill(pid, 'SIGINT');
  folder.open('gate');
  assert.is(await running, pid);
  assert.is(await call(pid, { op: 'sleep', ms: 0 }), pid);
  assert.equal(
    supervisor.children().map(({ incarnation, state }) => ({ incarnation, state })),
    [
      { incarnation: 1, state: 'up' },
      { incarnation: 1, state: 'up' },
    ],
  );
});

test.run();
