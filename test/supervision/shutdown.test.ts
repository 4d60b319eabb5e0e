/** The orderly end: running calls finish, then the hooks run, then the exit; SIGKILL for those who won't. */

import cluster, { type Address, type Worker } from 'node:cluster';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { balance, call, cast, ping, type Supervisor, type SupervisorOptions, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { downOf, type Failure, fixture, rejects, throws, until } from '../support/helpers.js';
import { Diary, event, Folder, Forked, isAlive, later, lifecycle } from '../support/processes.js';

/** Replicas of lifecycle/replica.mjs that keep a diary in the folder and whose op 'gate' waits for 'gate' there. */
function live(folder: Folder, options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  const env = { DIARY: new Diary(folder).file, GATE: folder.at('gate'), ...options.env };
  return supervise({ exec: lifecycle, replicas: 1, ...options, env });
}

function pidsOf(supervisor: Supervisor): number[] {
  return supervisor.children().map(({ pid }) => pid as number);
}

/** Waits until each of these replicas has read what follows the order to stop. */
async function toldToStop(diary: Diary, pids: number[]): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate); // the order goes out in a turn of its own
  for (const worker of Object.values(cluster.workers ?? {})) {
    if (worker !== undefined && pids.includes(worker.process.pid as number)) worker.send('after the order');
  }
  await diary.has('message: after the order', pids.length);
}

test('close() lets running calls finish, then runs the hooks one after another, then the replica exits', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using supervisor = await live(folder, { replicas: 2, env: { HOOKS: '["slow", "ok", "slow"]' } });
  await using pool = await balance(supervisor, 'finishing');
  const pids = pidsOf(supervisor);
  const running = later(Promise.all(Array.from({ length: 20 }, () => pool.call<number>({ op: 'gate' }))));
  pool.cast({ op: 'gate' });
  pool.cast({ op: 'gate' });
  await diary.has('begins gate', 22);
  const downs = pids.map((pid) => downOf(supervisor, pid));
  let isClosed = false;
  const closing = supervisor.close().then(() => {
    isClosed = true;
  });

  throws(() => pool.pid(), 'ERR_DISCONNECTED'); // handing out has stopped already
  await toldToStop(diary, pids);
  assert.is(isClosed, false);
  assert.equal(
    diary.read().filter((line) => line.startsWith('hook')),
    [],
    'no hook before the calls have ended',
  );
  folder.open('gate');

  const tally = new Map(pids.map((pid) => [pid, 0]));
  for (const pid of await running) tally.set(pid, (tally.get(pid) as number) + 1);
  assert.equal([...tally.values()], [10, 10]);
  await closing;
  for (const { code, signal, restart } of await Promise.all(downs)) {
    assert.equal({ code, signal, restart }, { code: 0, signal: null, restart: false });
  }
  for (const pid of pids) {
    const lines = diary.read(pid);
    assert.is(lines.filter((line) => line === 'ends gate').length, 11);
    assert.equal(lines.slice(-6), [
      'hook 0 begins: close',
      'hook 0 ends',
      'hook 1 begins: close',
      'hook 1 ends',
      'hook 2 begins: close',
      'hook 2 ends',
    ]);
    assert.not(isAlive(pid));
  }
});

test('shutdown: Infinity sets no limit', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using supervisor = await live(folder, {
    shutdown: Number.POSITIVE_INFINITY,
    env: { HOOKS: '["slow"]' },
  });
  const [pid] = pidsOf(supervisor) as [number];
  const running = later(call<number>(pid, { op: 'gate' }));
  await diary.has('begins gate');
  const down = downOf(supervisor, pid);
  const closed = supervisor.close();
  await toldToStop(diary, [pid]);
  folder.open('gate');
  assert.is(await running, pid);
  await closed;
  const { code, signal } = await down;
  assert.equal({ code, signal }, { code: 0, signal: null });
  assert.ok(diary.read().includes('hook 0 ends'));
});

test('a hook that throws does not keep the others from running', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using supervisor = await live(folder, { env: { HOOKS: '["throws", "ok", "throws", "slow"]' } });
  const down = downOf(supervisor, pidsOf(supervisor)[0] as number);
  await supervisor.close();
  assert.equal(
    diary.read().filter((line) => line.startsWith('hook')),
    [
      'hook 0 begins: close',
      'hook 1 begins: close',
      'hook 1 ends',
      'hook 2 begins: close',
      'hook 3 begins: close',
      'hook 3 ends',
    ],
  );
  assert.is((await down).signal, null);
});

for (const [what, hooks, message] of [
  ['whose hook never ends', '["hangs", "ok"]', undefined],
  ['that never gives its event loop back', '["ok"]', { op: 'spin' }],
  ['whose call never ends', '["ok"]', { op: 'hang' }],
] as const) {
  test(`a replica ${what} is killed when it has had its time to stop, and only that one`, async () => {
    using folder = new Folder();
    const diary = new Diary(folder);
    const grace = 400;
    await using supervisor = await live(folder, { shutdown: grace, replicas: 2, env: { HOOKS: hooks } });
    const [pid, other] = pidsOf(supervisor) as [number, number];
    let died: Promise<Failure> | undefined;
    if (message !== undefined) {
      died = later(rejects(call(pid, message, { timeout: 60_000 }), 'ERR_REPLICA_DIED'));
      await diary.has(`begins ${message.op}`);
    }
    const downs = [downOf(supervisor, pid), downOf(supervisor, other)];
    const began = performance.now();
    await supervisor.close();
    const lasted = performance.now() - began;
    assert.ok(lasted >= grace - 1, `it had ${lasted} of ${grace} ms`);
    const [down, otherDown] = await Promise.all(downs);
    assert.is(down?.signal, 'SIGKILL');
    assert.is(down?.code, null);
    assert.not(isAlive(pid));
    if (died === undefined) return;
    const { pid: diedPid, signal } = await died;
    assert.equal({ diedPid, signal }, { diedPid: pid, signal: 'SIGKILL' });
    assert.equal({ code: otherDown?.code, signal: otherDown?.signal }, { code: 0, signal: null });
    assert.equal(diary.read(other).slice(-1), ['hook 0 ends']);
  });
}

test('a stopped (SIGSTOP) replica is killed too', async () => {
  using folder = new Folder();
  await using supervisor = await live(folder, { shutdown: 300 });
  const [pid] = pidsOf(supervisor) as [number];
  process.kill(pid, 'SIGSTOP');
  const down = downOf(supervisor, pid);
  await supervisor.close();
  assert.is((await down).signal, 'SIGKILL');
});

test('every close(), early or late, has the same end', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using supervisor = await live(folder, { env: { HOOKS: '["slow"]' } });
  let closes = 0;
  supervisor.on('close', () => closes++);
  const pids = pidsOf(supervisor);
  const ended: number[] = [];
  const closings = [supervisor.close(), supervisor.close(), supervisor[Symbol.asyncDispose]()];
  await Promise.all(
    closings.map(async (closing, index) => {
      await closing;
      assert.equal(pids.filter(isAlive), [], 'none has ended before its replicas');
      ended.push(index);
    }),
  );
  await supervisor.close();
  await until(() => closes > 0, 'close');
  assert.is(closes, 1);
  assert.is(ended.length, 3);
  assert.is(diary.read().filter((line) => line === 'hook 0 begins: close').length, 1, 'hooks run once');
});

test('what a closed supervisor had is refused by name', async () => {
  using folder = new Folder();
  const supervisor = await live(folder, { replicas: 2 });
  const pool = await balance(supervisor, 'refused');
  const [pid] = pidsOf(supervisor) as [number];
  const closing = supervisor.close();
  for (const state of ['closing', 'closed']) {
    const refusal = throws(() => pool.pid(), 'ERR_DISCONNECTED');
    assert.is((refusal.cause as { code?: string }).code, 'ERR_CLOSED', state);
    assert.is(
      ((await rejects(pool.call({ op: 'sleep' }), 'ERR_DISCONNECTED')).cause as { code?: string }).code,
      'ERR_CLOSED',
    );
    throws(() => pool.cast({ op: 'sleep' }), 'ERR_DISCONNECTED');
    await rejects(
      pool.transaction(() => {}),
      'ERR_DISCONNECTED',
    );
    await rejects(pool.refresh(), 'ERR_DISCONNECTED');
    assert.equal(pool.pids(), []);
    await rejects(call(pid, { op: 'sleep' }), 'ERR_NO_SUCH_REPLICA');
    throws(() => cast(pid, { op: 'sleep' }), 'ERR_NO_SUCH_REPLICA');
    await rejects(supervisor.resize(3), 'ERR_CLOSED');
    await rejects(balance(supervisor, `late, ${state}`), 'ERR_CLOSED');
    await closing;
  }
  await rejects(ping(pid), 'ERR_NO_SUCH_REPLICA');
  assert.equal(supervisor.children(), []);
  await pool.close();
  throws(() => pool.pid(), 'ERR_CLOSED');
  await rejects(call('refused', 1), 'ERR_NO_SUCH_POOL');
});

test('resize down in the midst of calls loses none, and the hooks run', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using supervisor = await live(folder, { replicas: 4, env: { HOOKS: '["slow"]' } });
  await using pool = await balance(supervisor, 'shrinking');
  const before = pidsOf(supervisor);
  const gated = later(Promise.all(Array.from({ length: 40 }, () => pool.call<number>({ op: 'gate' }))));
  for (let i = 0; i < 8; i++) pool.cast({ op: 'gate' });
  await diary.has('begins gate', 48);
  let isOver = false;
  const load = later(
    (async () => {
      let answered = 0;
      while (!isOver) {
        await Promise.all(Array.from({ length: 10 }, () => pool.call({ op: 'sleep', ms: 1 })));
        answered += 10;
      }
      return answered;
    })(),
  );
  const downs = before.slice(1).map((pid) => downOf(supervisor, pid));
  const resizing = supervisor.resize(1);
  await until(() => pool.pids().length === 1, 'three to leave the rotation');
  assert.equal(
    supervisor.children().map(({ state }) => state),
    ['up', 'stopping', 'stopping', 'stopping'],
  );
  assert.equal(pool.pids(), before.slice(0, 1), 'the first stays');
  await pool.call({ op: 'sleep', ms: 0 });
  folder.open('gate');
  const answers = await gated;
  for (const pid of before) assert.is(answers.filter((answer) => answer === pid).length, 10);
  await resizing;
  isOver = true;
  assert.ok((await load) > 0);
  for (const down of downs) {
    const { pid, code, restart } = await down;
    assert.equal({ code, restart }, { code: 0, restart: false });
    assert.equal(diary.read(pid).slice(-2), ['hook 0 begins: resize', 'hook 0 ends']);
  }
  assert.is(diary.read().filter((line) => line === 'ends gate').length, 48);
  assert.equal(pidsOf(supervisor), before.slice(0, 1));
  assert.is(pool.stats().original, 1);
});

test('resizes run one after another, and the last one’s number stays', async () => {
  using folder = new Folder();
  using forked = new Forked();
  await using supervisor = await live(folder);
  await using pool = await balance(supervisor, 'resized');
  await Promise.all([supervisor.resize(3), supervisor.resize(1), supervisor.resize(2)]);
  assert.equal(
    supervisor.children().map(({ state }) => state),
    ['up', 'up'],
  );
  await until(() => pool.pids().length === 2, 'both in rotation');
  assert.equal(new Set(pool.pids()), new Set(pidsOf(supervisor)));
  assert.equal(
    forked.pids.filter(isAlive).sort(),
    pidsOf(supervisor).sort(),
    'those that were resized away are gone',
  );
});

test('close() during a resize ends the new replicas as well', async () => {
  using folder = new Folder();
  using forked = new Forked();
  const supervisor = await live(folder);
  const resizing = rejects(supervisor.resize(3), 'ERR_CLOSED');
  await until(() => forked.pids.length === 3, 'the new replicas');
  await supervisor.close();
  await resizing;
  assert.equal(forked.pids.filter(isAlive), []);
  assert.equal(supervisor.children(), []);
});

/** Two http servers as replicas, and their port. */
async function serve(folder: Folder): Promise<{ supervisor: Supervisor; port: number }> {
  const listening = event<[Worker, Address]>(cluster, 'listening');
  const supervisor = await supervise({
    exec: fixture('lifecycle/server.mjs'),
    replicas: 2,
    env: { GATE: folder.at('gate') },
  });
  const [, { port }] = await listening;
  return { supervisor, port };
}

/** Whether a connection is taken; it asks for nothing, since one that comes at the very end may get no answer. */
async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    return await new Promise((resolve) => {
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    });
  } finally {
    socket.destroy();
  }
}

function request(port: number, path: string, agent: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ port, path, agent, host: '127.0.0.1' }, resolve).on('error', reject);
  });
}

test('http requests that are in flight at close() get their whole answer', async () => {
  using folder = new Folder();
  const { supervisor, port } = await serve(folder);
  const agent = new Agent({ keepAlive: true });
  try {
    const pids = pidsOf(supervisor);
    const downs = pids.map((pid) => downOf(supervisor, pid));
    // Each has sent its head and the first words, so all of them are running.
    const responses: IncomingMessage[] = [];
    const answering = new Set<number>();
    while (responses.length < 8 || answering.size < pids.length) {
      const response = await request(port, '/slow', agent);
      responses.push(response);
      answering.add(Number(response.headers['served-by']));
    }
    let isClosed = false;
    const closing = supervisor.close().then(() => {
      isClosed = true;
    });
    const bodies = later(Promise.all(responses.map((response) => text(response))));
    await until(async () => !(await isListening(port)), 'both to have stopped listening');
    assert.is(isClosed, false);
    folder.open('gate');
    for (const body of await bodies) assert.is(body, 'begins ends');
    assert.equal([...answering].sort(), pids.sort());
    await closing;
    for (const { code, signal } of await Promise.all(downs)) {
      assert.equal({ code, signal }, { code: 0, signal: null }, 'no connection kept a replica until SIGKILL');
    }
  } finally {
    agent.destroy();
    await supervisor.close();
  }
});

test('an idle keep-alive connection does not hold up the end', async () => {
  using folder = new Folder();
  const { supervisor, port } = await serve(folder);
  const agent = new Agent({ keepAlive: true });
  try {
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        assert.match(await text(await request(port, '/', agent)), /ends$/);
      }),
    );
    const downs = pidsOf(supervisor).map((pid) => downOf(supervisor, pid));
    await supervisor.close();
    for (const { code, signal } of await Promise.all(downs)) {
      assert.equal({ code, signal }, { code: 0, signal: null });
    }
  } finally {
    agent.destroy();
    await supervisor.close();
  }
});

test.run();
