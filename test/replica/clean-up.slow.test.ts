/**
 * A script that knows signals and no supervisor: its own clean-up runs once, to its end, when its requests and the hooks are
 * over, whoever asks the replica to go and in whichever way.
 */

import cluster, { type Worker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { balance, call, type Supervisor, supervise } from 'ballermann';
import { shutdownSignal } from 'ballermann/replica';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { downOf, fixture, rejects, until } from '../support/helpers.js';
import { Diary, Folder, later, Primary } from '../support/processes.js';
import { type Answer, ask } from '../support/web.js';

const exec = fixture('clean-up/server.mjs');

const isPort = /^listens (\d+)$/;

/** Asks the one replica for what it answers when the gate is open. @returns when it has been asked. */
async function slow(diary: Diary, pid: number): Promise<{ answer: Promise<Answer> }> {
  const line = await until(() => diary.read(pid).find((each) => isPort.test(each)), `${pid} to listen`);
  const answer = later(ask(Number(isPort.exec(line as string)?.[1]), '/slow'));
  await until(() => diary.read(pid).includes('asked /slow'), `${pid} to be asked`);
  return { answer };
}

/** What the replica has noted, but for its port. */
function lifeOf(diary: Diary, pid: number): string[] {
  return diary.read(pid).filter((line) => !isPort.test(line));
}

function pidOf(supervisor: Supervisor): number {
  return supervisor.children()[0]?.pid as number;
}

function workerOf(pid: number): Worker {
  return Object.values(cluster.workers ?? {}).find((worker) => worker?.process.pid === pid) as Worker;
}

const cleaned = ['SIGTERM,15', 'cleaned up', 'exit 0'];

/** What each style has done from the hook on. */
const styles: Record<string, string[]> = {
  textbook: cleaned,
  natural: cleaned,
  sigint: ['SIGINT,2', 'cleaned up', 'exit 0'],
  order: ['first', 'second', 'third', 'exit 0'],
  calls: ['SIGTERM,15', 'asks answered', 'cleaned up', 'exit 0'],
  resend: cleaned,
  nest: ['SIGTERM', 'cleaned up', 'onExit null SIGTERM', 'exit 0'],
  'signal-exit': ['onExit null SIGTERM', 'exit 0'],
  'close-with-grace': ['SIGTERM', 'cleaned up', 'exit 0'],
  code: ['SIGTERM,15', 'cleaned up', 'exit 143'],
  removed: ['exit 0'],
  throws: ['exit 1'],
};

test('a reload runs the clean-up of any style once and to its end, after the requests and the hooks', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  const env = (STYLE: string) => ({ STYLE, DIARY: diary.file, GATE: folder.at('gate') });
  const names = Object.keys(styles);
  await using supervisor = await supervise({ exec, replicas: 1, env: env(names[0] as string) });
  await using _pool = await balance(supervisor, 'clean-up');
  for (const [index, name] of names.entries()) {
    const pid = pidOf(supervisor);
    const { answer } = await slow(diary, pid);
    const down = downOf(supervisor, pid);
    const reloaded = later(supervisor.reload({ env: env(names[index + 1] ?? 'none') }));
    await diary.has('aborts reload', index + 1);
    folder.open('gate');
    assert.is((await answer).body, 'done', name);
    await reloaded;
    const { code, signal, error } = await down;
    assert.equal([code, signal], [name === 'throws' ? 1 : 0, null], name);
    assert.is(error?.message, name === 'throws' ? 'thrown by the clean-up' : undefined);
    const before = ['asked /slow', 'aborts reload', 'answered', 'hook reload'];
    assert.equal(lifeOf(diary, pid), [...before, ...(styles[name] as string[])], name);
    folder.shut('gate');
  }
});

/** Every way to ask a replica to go, and the reason that its hooks are given. */
const ways: [name: string, reason: string, go: (pid: number) => unknown][] = [
  ['worker.disconnect()', 'disconnect', (pid) => workerOf(pid).disconnect()],
  ['worker.kill()', 'SIGTERM', (pid) => workerOf(pid).kill()],
  ['worker.process.disconnect()', 'disconnect', (pid) => workerOf(pid).process.disconnect()],
  ['SIGTERM', 'SIGTERM', (pid) => process.kill(pid, 'SIGTERM')],
  ['cluster.disconnect()', 'disconnect', () => new Promise<void>((resolve) => cluster.disconnect(resolve))],
  ['process.kill(process.pid)', 'SIGINT', (pid) => call(pid, 'process.kill(process.pid)')],
  ['process.emit()', 'SIGINT', (pid) => call(pid, 'process.emit()')],
  ['process.disconnect()', 'disconnect', (pid) => call(pid, 'process.disconnect()')],
  ['cluster.worker.disconnect()', 'disconnect', (pid) => call(pid, 'cluster.worker.disconnect()')],
  ['cluster.worker.kill()', 'SIGTERM', (pid) => call(pid, 'cluster.worker.kill()')],
];

test("node:cluster's own verbs and signals: each is an orderly leave with its hooks, and a restart", async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  const env = { STYLE: 'textbook', DIARY: diary.file, GATE: folder.at('gate') };
  const backoff = { initial: 1, max: 1 };
  await using supervisor = await supervise({ exec, replicas: 1, env, backoff, intensity: ways.length });
  for (const [index, [name, reason, go]] of ways.entries()) {
    const pid = pidOf(supervisor);
    const { answer } = await slow(diary, pid);
    const down = downOf(supervisor, pid);
    const gone = go(pid);
    await diary.has(`aborts ${reason}`, ways.slice(0, index + 1).filter((way) => way[1] === reason).length);
    folder.open('gate');
    assert.is((await answer).body, 'done', name);
    const { code, signal, restart } = await down;
    await gone;
    assert.equal({ code, signal, restart }, { code: 0, signal: null, restart: true }, name);
    const told = reason === 'SIGINT' ? 'SIGINT,2' : 'SIGTERM,15';
    const before = ['asked /slow', `aborts ${reason}`, 'answered', `hook ${reason}`];
    assert.equal(lifeOf(diary, pid), [...before, told, 'cleaned up', 'exit 0'], name);
    folder.shut('gate');
    await until(() => supervisor.children()[0]?.state === 'up', `the restart after ${name}`);
  }
});

test('a disconnect of a script that listens for it: the replica goes on after it until nothing is open', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  const env = { STYLE: 'disconnect', DIARY: diary.file, GATE: folder.at('gate') };
  await using supervisor = await supervise({ exec, replicas: 1, env });
  const pid = pidOf(supervisor);
  const { answer } = await slow(diary, pid);
  const down = downOf(supervisor, pid);
  workerOf(pid).disconnect();
  await diary.has('aborts disconnect');
  folder.open('gate');
  assert.is((await answer).body, 'done');
  const { code, signal } = await down;
  assert.equal([code, signal], [0, null]);
  const before = ['asked /slow', 'aborts disconnect', 'answered', 'hook disconnect'];
  assert.equal(lifeOf(diary, pid), [...before, 'disconnected', 'cleaned up', 'exit 0']);
});

for (const [signal, isForAll] of [
  ['SIGTERM', false],
  ['SIGTERM', true],
  ['SIGINT', true],
] as const) {
  test(`${signal} to ${isForAll ? 'the group' : 'the primary'}: the clean-up runs once, when all requests are answered`, async () => {
    using folder = new Folder();
    const diary = new Diary(folder);
    const env = {
      STYLE: signal === 'SIGINT' ? 'close-with-grace' : 'textbook',
      DIARY: diary.file,
      GATE: folder.at('gate'),
      CLEAN: folder.at('clean'),
    };
    await using primary = new Primary({ supervisor: { exec: exec.href, replicas: 1, env }, ownGroup: true });
    const [pid] = (await primary.ready()) as [number];
    const { answer } = await slow(diary, pid);
    process.kill(isForAll ? -primary.pid : primary.pid, signal);
    await diary.has(`aborts ${signal}`);
    process.kill(pid, 'SIGTERM'); // nor does another one hurry it
    folder.open('gate');
    assert.is((await answer).body, 'done');
    const told = signal === 'SIGINT' ? signal : 'SIGTERM,15';
    await diary.has(told);
    for (const again of ['SIGTERM', 'SIGINT']) process.kill(pid, again);
    folder.open('clean');
    assert.is((await primary.ended).code, 0);
    const before = ['asked /slow', `aborts ${signal}`, 'answered', `hook ${signal}`];
    assert.equal(lifeOf(diary, pid), [...before, told, 'cleaned up', 'exit 0']);
  });
}

test('SIGHUP to the group, without a terminal: a reload, at whose end a clean-up that listens for SIGHUP too runs once', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  const env = { STYLE: 'close-with-grace', DIARY: diary.file, GATE: folder.at('gate') };
  await using primary = new Primary({ supervisor: { exec: exec.href, replicas: 1, env }, ownGroup: true });
  const [pid] = (await primary.ready()) as [number];
  const { answer } = await slow(diary, pid);
  process.kill(-primary.pid, 'SIGHUP');
  await diary.has('aborts reload');
  folder.open('gate');
  assert.is((await answer).body, 'done');
  await diary.has('exit 0');
  const before = ['asked /slow', 'aborts reload', 'answered', 'hook reload'];
  assert.equal(lifeOf(diary, pid), [...before, 'SIGTERM', 'cleaned up', 'exit 0']);
});

test('SIGHUP to a replica, without a terminal: a listener for that alone hears it at once', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using supervisor = await supervise({ exec, replicas: 1, env: { STYLE: 'logs', DIARY: diary.file } });
  process.kill(pidOf(supervisor), 'SIGHUP');
  await diary.has('opens its log');
  assert.is(supervisor.children()[0]?.state, 'up');
});

test('a clean-up that never says that it is done has its part of the time to stop; then the replica exits, and says so', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  const env = { STYLE: 'endless', DIARY: diary.file };
  await using primary = new Primary({ supervisor: { exec: exec.href, replicas: 1, env, shutdown: 5_000 } });
  const [pid] = (await primary.ready()) as [number];
  process.kill(primary.pid, 'SIGTERM');
  const { code } = await primary.ended;
  assert.is(code, 0);
  assert.equal(lifeOf(diary, pid), ['aborts SIGTERM', 'hook SIGTERM', 'begins', 'exit 0']);
  assert.match(
    primary.errors,
    new RegExp(`replica ${pid}: the listeners for SIGTERM have not ended .* Still open: .*1 Timeout\\b`),
  );
});

test('outside a replica shutdownSignal never aborts', () => {
  assert.is(shutdownSignal.aborted, false);
});

test('close() while a replica starts: one that has begun to serve ends in order, one in its first turn at once', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  // The first is ready. The second serves, and never says that it is ready; the third gets no further than its first turn.
  const exec = folder.script(
    'starting.cjs',
    `
    const { appendFileSync, existsSync } = require('node:fs');
    const { createServer } = require('node:http');
    const { index, onShutdown, ready } = require(${JSON.stringify(fileURLToPath(import.meta.resolve('ballermann/replica')))});
    const note = (what) => appendFileSync(${JSON.stringify(diary.file)}, process.pid + ' ' + what + '\\n');
    if (index === 0) ready();
    if (index === 1) {
      onShutdown((reason) => note('hook ' + reason));
      process.on('SIGTERM', () => process.exit(0));
      process.on('exit', (code) => note('exit ' + code));
      const server = createServer((request, response) => {
        note('asked ' + request.url);
        const timer = setInterval(() => {
          if (!existsSync(${JSON.stringify(folder.at('gate'))})) return;
          clearInterval(timer);
          response.end('done');
        }, 5);
      });
      server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => note('listens ' + server.address().port));
    }
    if (index === 2) {
      note('busy');
      for (;;) {}
    }
    `,
  );
  await using supervisor = await supervise({ exec, replicas: 1, waitReady: 'ready', shutdown: 60_000 });
  const grown = later(supervisor.resize(3));
  await diary.has('busy');
  const second = supervisor.children()[1]?.pid as number;
  const { answer } = await slow(diary, second);
  const closed = supervisor.close();
  await diary.has('asked /slow');
  folder.open('gate');
  assert.is((await answer).body, 'done');
  await closed;
  await rejects(grown, 'ERR_CLOSED');
  assert.equal(lifeOf(diary, second), ['asked /slow', 'hook close', 'exit 0']);
});

test.run();
