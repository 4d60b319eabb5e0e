/** What follows a replica's death: a restart or none, how soon, and when the supervisor gives up. */

import {
  type BallermannError,
  balance,
  call,
  type DownEvent,
  type Supervisor,
  type SupervisorOptions,
  supervise,
  type UpEvent,
} from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { downOf, killed, rejects, throws, until } from '../support/helpers.js';
import { Diary, event, Folder, Forked, isAlive, later, lifecycle } from '../support/processes.js';

/** Replicas of lifecycle/replica.mjs that keep a diary in the folder. */
function live(folder: Folder, options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  const env = { DIARY: new Diary(folder).file, ...options.env };
  return supervise({ exec: lifecycle, replicas: 1, ...options, env });
}

function pidsOf(supervisor: Supervisor): number[] {
  return supervisor.children().map(({ pid }) => pid as number);
}

/** Makes a replica end by what it does itself, and gives its 'down'. */
async function ends(supervisor: Supervisor, pid: number, message: unknown): Promise<DownEvent> {
  const down = downOf(supervisor, pid);
  await rejects(call(pid, message), 'ERR_REPLICA_DIED');
  return down;
}

/** The next 'up' of that child. */
async function upOf(supervisor: Supervisor, id: number): Promise<UpEvent> {
  for (;;) {
    const [up] = await event<[UpEvent]>(supervisor, 'up');
    if (up.id === id) return up;
  }
}

/** Every event of the supervisor from now on, by name. */
function record(supervisor: Supervisor): string[] {
  const names: string[] = [];
  for (const name of ['up', 'down', 'gaveUp', 'close'] as const) supervisor.on(name, () => names.push(name));
  return names;
}

for (const [restart, after0, after1, afterSignal] of [
  ['permanent', true, true, true],
  ['transient', false, true, true],
  ['temporary', false, false, false],
] as const) {
  test(`restart: '${restart}'`, async () => {
    using folder = new Folder();
    await using supervisor = await live(folder, { replicas: 4, restart });
    const [zero, one, signalled, stays] = pidsOf(supervisor) as [number, number, number, number];
    const before = supervisor.children();
    let ups = 0;
    supervisor.on('up', () => ups++);
    const downs = await Promise.all([
      ends(supervisor, zero, { op: 'exit', code: 0 }),
      ends(supervisor, one, { op: 'exit', code: 1 }),
      killed(supervisor, signalled),
    ]);
    assert.equal(
      downs.map((down) => down.restart),
      [after0, after1, afterSignal],
    );
    assert.equal(
      downs.map(({ restartIn }) => restartIn !== undefined),
      [after0, after1, afterSignal],
    );
    const restarts = downs.filter((down) => down.restart);
    await until(() => ups === restarts.length, 'the restarts');
    // Each that came back is the same child in its next incarnation; the others are gone from the list.
    const restarted = new Set(restarts.map(({ id }) => id));
    assert.equal(
      supervisor.children().map(({ id, incarnation, state }) => ({ id, incarnation, state })),
      before
        .filter(({ id, pid }) => restarted.has(id) || pid === stays)
        .map(({ id, pid }) => ({ id, incarnation: pid === stays ? 1 : 2, state: 'up' })),
    );
    for (const { pid } of downs) assert.not(pidsOf(supervisor).includes(pid));
    assert.is(await call(stays, { op: 'sleep', ms: 0 }), stays, 'the neighbour has not noticed');
  });
}

test('a transient replica that SIGTERM ended in an orderly way stays away', async () => {
  using folder = new Folder();
  await using supervisor = await live(folder, { restart: 'transient', replicas: 2 });
  const [pid] = pidsOf(supervisor) as [number];
  const down = downOf(supervisor, pid);
  process.kill(pid, 'SIGTERM');
  const { code, signal, restart, restartIn } = await down;
  assert.equal(
    { code, signal, restart, restartIn },
    { code: 0, signal: null, restart: false, restartIn: undefined },
  );
  assert.is(supervisor.children().length, 1);
});

test('the last temporary replica’s death leaves the pool disconnected and the supervisor open', async () => {
  using folder = new Folder();
  await using supervisor = await live(folder, { restart: 'temporary' });
  await using pool = await balance(supervisor, 'temporary');
  await killed(supervisor, pool.pid());
  throws(() => pool.pid(), 'ERR_DISCONNECTED');
  assert.equal(supervisor.children(), []);
  await supervisor.resize(1);
  await until(() => pool.pids().length === 1, 'the new replica in rotation');
  assert.is(await pool.call({ op: 'sleep', ms: 0 }), pool.pid());
});

test('down says which process ended, how, and what follows', async () => {
  using folder = new Folder();
  await using supervisor = await live(folder);
  const { id, pid } = supervisor.children()[0] as { id: number; pid: number };

  const exited = await ends(supervisor, pid, { op: 'exit', code: 42 });
  assert.equal(exited, {
    id,
    pid,
    incarnation: 1,
    code: 42,
    signal: null,
    error: undefined,
    restart: true,
    restartIn: 0,
    failures: 1,
    expected: false,
  });

  const second = await upOf(supervisor, id);
  assert.is(second.incarnation, 2);
  const signalled = await killed(supervisor, second.pid);
  assert.equal(
    { ...signalled, restartIn: undefined },
    {
      id,
      pid: second.pid,
      incarnation: 2,
      code: null,
      signal: 'SIGKILL',
      error: undefined,
      restart: true,
      restartIn: undefined,
      failures: 2,
      expected: false,
    },
  );
});

test('down carries what was thrown: name, message and the stack in the replica', async () => {
  using folder = new Folder();
  await using supervisor = await live(folder);
  const [pid] = pidsOf(supervisor) as [number];
  const { code, signal, error } = await ends(supervisor, pid, { op: 'crash' });
  assert.is(code, 1);
  assert.is(signal, null);
  assert.instance(error, Error);
  assert.is(error?.name, 'TypeError');
  assert.is(error?.message, 'crashed on purpose');
  assert.match(error?.stack ?? '', 'lifecycle/replica.mjs');
});

test('an error that the application has caught is not what ended the replica later', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using supervisor = await live(folder);
  const [pid] = pidsOf(supervisor) as [number];
  await call(pid, { op: 'survive' });
  await diary.has('caught');
  const { code, error } = await ends(supervisor, pid, { op: 'exit', code: 5 });
  assert.is(code, 5);
  assert.is(error, undefined);
});

test('the first restart comes at once, each further one in a row twice as late, within its bounds', async () => {
  using folder = new Folder();
  await using supervisor = await live(folder, { backoff: { initial: 80, max: 160 } });
  const delays: number[] = [];
  for (let i = 0; i < 4; i++) {
    const { restartIn } = await killed(supervisor, pidsOf(supervisor)[0] as number);
    const told = performance.now();
    await event(supervisor, 'up');
    delays.push(restartIn as number);
    // Timers of node may fire up to a millisecond early, by its clock of whole milliseconds.
    assert.ok(performance.now() - told >= (restartIn as number) - 1, `not before ${restartIn} ms`);
  }
  assert.is(delays[0], 0);
  for (const [index, nominal] of [80, 160, 160].entries()) {
    const delay = delays[index + 1] as number;
    assert.ok(delay >= nominal / 2 && delay <= nominal, `${delay} of ${nominal} ms`);
  }
});

test('more restarts than intensity within period: an orderly stop of all, and the supervisor gives up', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  using forked = new Forked();
  await using supervisor = await live(folder, {
    replicas: 3,
    intensity: 2,
    period: 60_000,
    backoff: { initial: 1, max: 1 },
    env: { HOOKS: '["slow", "ok"]', GATE: folder.at('gate') },
  });
  await using pool = await balance(supervisor, 'doomed');
  const events = record(supervisor);
  const gaveUp = later(event<[BallermannError]>(supervisor, 'gaveUp'));
  const [victim, ...others] = supervisor.children();
  // What runs on the others when the supervisor gives up is still finished.
  const running = later(Promise.all(others.map(({ pid }) => call<number>(pid as number, { op: 'gate' }))));
  await diary.has('begins gate', 2);
  for (let i = 0; i < 2; i++) {
    const child = supervisor.children().find(({ id }) => id === victim?.id);
    const { restart } = await killed(supervisor, child?.pid as number);
    assert.is(restart, true, `restart ${i + 1} is within the intensity`);
    await event(supervisor, 'up');
  }
  const last = supervisor.children().find(({ id }) => id === victim?.id);
  const { restart, restartIn } = await killed(supervisor, last?.pid as number);
  assert.equal({ restart, restartIn }, { restart: false, restartIn: undefined });

  const [error] = await gaveUp;
  assert.is(error.code, 'ERR_RESTART_INTENSITY');
  assert.match(error.message, /more than 2 restarts within 60000 ms/);
  assert.not(events.includes('close'), 'it closes when the last has ended');
  assert.is(throws(() => pool.pid(), 'ERR_DISCONNECTED').cause, error);
  assert.is((await rejects(pool.call({ op: 'sleep', ms: 0 }), 'ERR_DISCONNECTED')).cause, error);
  assert.equal(
    supervisor.children().map(({ pid, state }) => ({ pid, state })),
    others.map(({ pid }) => ({ pid, state: 'stopping' })),
  );

  const downs = others.map(({ pid }) => downOf(supervisor, pid as number));
  const closed = later(event(supervisor, 'close'));
  folder.open('gate');
  assert.equal(
    await running,
    others.map(({ pid }) => pid),
  );
  for (const { code, signal, restart } of await Promise.all(downs)) {
    assert.equal({ code, signal, restart }, { code: 0, signal: null, restart: false });
  }
  await closed;
  assert.equal(
    events.filter((name) => name !== 'down'),
    ['up', 'up', 'gaveUp', 'close'],
  );
  assert.is(events.at(-1), 'close');
  for (const { pid } of others) {
    assert.equal(diary.read(pid).slice(-5), [
      'ends gate',
      'hook 0 begins: restart intensity',
      'hook 0 ends',
      'hook 1 begins: restart intensity',
      'hook 1 ends',
    ]);
  }
  assert.equal(forked.pids.filter(isAlive), []);
  await rejects(balance(supervisor, 'too late'), 'ERR_RESTART_INTENSITY');
  await rejects(supervisor.resize(2), 'ERR_RESTART_INTENSITY');
  await supervisor.close();
  assert.is(throws(() => pool.pid(), 'ERR_DISCONNECTED').cause, error, 'close() does not hide why');
});

test('as many restarts as intensity are not too many, and older ones than period do not count', async () => {
  using folder = new Folder();
  await using supervisor = await live(folder, { intensity: 1, period: 150, backoff: { initial: 1, max: 1 } });
  for (let i = 0; i < 3; i++) {
    const at = performance.now();
    const { restart } = await killed(supervisor, pidsOf(supervisor)[0] as number);
    assert.is(restart, true);
    await event(supervisor, 'up');
    await until(() => performance.now() - at > 200, 'the end of the period');
  }
});

test('intensity 0 gives up at the first death', async () => {
  using folder = new Folder();
  await using supervisor = await live(folder, { intensity: 0, replicas: 2 });
  const closed = later(event(supervisor, 'close'));
  const gaveUp = later(event(supervisor, 'gaveUp'));
  assert.is((await killed(supervisor, pidsOf(supervisor)[0] as number)).restart, false);
  await gaveUp;
  await closed;
  assert.equal(supervisor.children(), []);
});

test('a replica that dies while starting in every attempt makes the supervisor give up, however slowly', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  using forked = new Forked();
  // No two of these restarts come within one period: by their rate alone it would never give up.
  await using supervisor = await live(folder, {
    intensity: 2,
    period: 10,
    backoff: { initial: 100, max: 100 },
    env: { FAIL_AFTER: folder.at('failing'), HOOKS: '["ok"]' },
  });
  await using pool = await balance(supervisor, 'never again');
  const downs: DownEvent[] = [];
  supervisor.on('down', (event) => downs.push(event));
  const closed = later(event(supervisor, 'close'));
  const gaveUp = later(event<[BallermannError]>(supervisor, 'gaveUp'));
  await killed(supervisor, pool.pid());
  const [error] = await gaveUp;
  assert.is(error.code, 'ERR_RESTART_INTENSITY');
  assert.is((error.cause as Error).name, 'RangeError');
  assert.is((error.cause as Error).message, 'failed on a later start');
  await closed;
  assert.equal(
    downs.map(({ incarnation, code, error, restart }) => [incarnation, code, error?.message, restart]),
    [
      [1, null, undefined, true],
      [2, 1, 'failed on a later start', true],
      [3, 1, 'failed on a later start', true],
      [4, 1, 'failed on a later start', false],
    ],
  );
  assert.is(diary.read().filter((line) => line === 'loading').length, 4);
  assert.equal(forked.pids.filter(isAlive), []);
  assert.is(throws(() => pool.pid(), 'ERR_DISCONNECTED').cause, error);
});

test('children() tells starting, up, restarting and stopping', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  const supervisor = await live(folder, {
    replicas: 2,
    backoff: { initial: 60_000, max: 60_000 },
    ...loadsWhenOpen(folder),
  });
  try {
    const [first, second] = supervisor.children();
    assert.equal(
      supervisor.children().map(({ id, incarnation, state }) => ({ id, incarnation, state })),
      [
        { id: 0, incarnation: 1, state: 'up' },
        { id: 1, incarnation: 1, state: 'up' },
      ],
    );
    folder.shut('load');
    await killed(supervisor, second?.pid as number); // its first restart is at once
    await until(() => supervisor.children()[1]?.state === 'starting', 'the restart');
    const starting = supervisor.children()[1];
    assert.is(starting?.id, 1);
    assert.is(starting?.incarnation, 2);
    assert.type(starting?.pid, 'number');
    assert.is.not(starting?.pid, second?.pid);

    await killed(supervisor, starting?.pid as number); // its second is a minute away
    assert.equal(supervisor.children()[1], { id: 1, pid: undefined, incarnation: 2, state: 'restarting' });

    const closing = supervisor.close();
    assert.equal(supervisor.children()[0], { ...first, state: 'stopping' });
    assert.is(supervisor.children().length, 1, 'one that waits for a restart has nothing to stop');
    await diary.has('hook 0 begins: close');
    await closing;
    assert.equal(supervisor.children(), []);
  } finally {
    await supervisor.close();
  }
});

test('close() while a replica starts again ends it, and no restart comes after it', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  using forked = new Forked();
  const supervisor = await live(folder, { ...loadsWhenOpen(folder), replicas: 2 });
  const events = record(supervisor);
  folder.shut('load');
  const [pid] = pidsOf(supervisor) as [number];
  await killed(supervisor, pid);
  await diary.has('loading', 3);
  await supervisor.close();
  await until(() => events.includes('close'), 'close');
  assert.is(forked.pids.length, 3);
  assert.equal(forked.pids.filter(isAlive), []);
  assert.equal(supervisor.children(), []);
  assert.not(events.includes('gaveUp'));
});

test('a refresh waits for a restart that is under way', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using supervisor = await live(folder, { ...loadsWhenOpen(folder), replicas: 2 });
  await using pool = await balance(supervisor, 'whole');
  folder.shut('load');
  await killed(supervisor, pool.pid());
  await diary.has('loading', 3);
  let isComplete = false;
  const refreshed = pool.refresh().then(() => {
    isComplete = true;
  });
  assert.is(pool.pids().length, 1);
  await call(pool.pid(), { op: 'sleep', ms: 0 });
  assert.is(isComplete, false);
  folder.open('load');
  await refreshed;
  assert.equal(new Set(pool.pids()), new Set(pidsOf(supervisor)));
});

/** Replicas that finish loading only while the folder has the gate 'load'. It starts open. */
function loadsWhenOpen(folder: Folder): Partial<SupervisorOptions> {
  folder.open('load');
  return {
    env: { DIARY: new Diary(folder).file, HOOKS: '["hangs"]', LOAD_GATE: folder.at('load') },
    shutdown: 500,
  };
}

test.run();
