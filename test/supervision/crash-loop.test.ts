/** Replicas that die again and again: at boot, as soon as they are ready, and while one of them waits for its restart. */

import { spawn } from 'node:child_process';
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { mkdirSync, rmdirSync } from 'node:fs';
import { type BallermannError, balance, type DownEvent, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { downOf, killed, next, rejects, start, throws, until } from '../support/helpers.js';
import { Folder, Forked, isAlive, later } from '../support/processes.js';

/** Timers that keep this process alive. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

test('a crash loop at boot: the start fails at the first death, and nobody is tried again', async () => {
  using folder = new Folder();
  using forked = new Forked();
  const before = timers();
  const exec = folder.script('boot.mjs', 'process.exit(3);');
  const { exitCode } = await rejects(supervise({ exec, replicas: 3, intensity: 100 }), 'ERR_START_FAILED');
  assert.is(exitCode, 3);
  assert.is(forked.pids.length, 3);
  assert.equal(forked.pids.filter(isAlive), []);
  assert.ok(timers() <= before, 'nothing is to come');
});

test('a crash loop after boot: restarts back off, then the supervisor gives up', async () => {
  using folder = new Folder();
  using forked = new Forked();
  const exec = readyThen(folder, 'process.exit(4)');
  const [intensity, initial] = [5, 40];
  await using supervisor = await supervise({
    exec,
    replicas: 1,
    intensity,
    period: 60_000,
    backoff: { initial, max: 2 * initial },
  });
  await using pool = await balance(supervisor, 'looping');
  const downs: DownEvent[] = [];
  supervisor.on('down', (down) => downs.push(down));
  const gaveUp = later(next<[BallermannError]>(supervisor, 'gaveUp'));
  const closed = later(next(supervisor, 'close'));
  folder.open('gate');
  const [error] = await gaveUp;
  await closed;
  assert.is(error.code, 'ERR_RESTART_INTENSITY');
  assert.match(error.message, `more than ${intensity} restarts within 60000 ms`);
  assert.equal(
    downs.map(({ incarnation, code, restart }) => [incarnation, code, restart]),
    Array.from({ length: intensity + 1 }, (_, i) => [i + 1, 4, i < intensity]),
  );
  assert.is(downs[0]?.restartIn, 0);
  for (const [index, { restartIn }] of downs.slice(1, intensity).entries()) {
    const nominal = index === 0 ? initial : 2 * initial;
    assert.ok((restartIn as number) >= nominal / 2, `restart ${index + 2} in ${restartIn} ms`);
  }
  assert.is(forked.pids.length, intensity + 1);
  assert.equal(forked.pids.filter(isAlive), []);
  assert.is(throws(() => pool.pid(), 'ERR_DISCONNECTED').cause, error);
});

test('intensity is reached while a replica waits for its restart: it is not started any more', async () => {
  using forked = new Forked();
  const before = timers();
  await using supervisor = await start({
    replicas: 3,
    intensity: 2,
    period: 600_000,
    backoff: { initial: 600_000, max: 600_000 },
  });
  await using pool = await balance(supervisor, 'waiting', 0.01);
  const [waiting, last, other] = supervisor.children() as [Child, Child, Child];

  assert.is((await killed(supervisor, waiting.pid as number)).restartIn, 0);
  await until(() => supervisor.children()[0]?.state === 'up', 'the first restart');
  const down = await killed(supervisor, supervisor.children()[0]?.pid as number);
  assert.ok((down.restartIn as number) >= 300_000);
  assert.is(supervisor.children()[0]?.state, 'restarting');
  const gaveUp = later(next<[BallermannError]>(supervisor, 'gaveUp'));
  const closed = later(next(supervisor, 'close'));
  const otherDown = later(downOf(supervisor, other.pid as number));
  assert.is((await killed(supervisor, last.pid as number)).restart, false);
  const [error] = await gaveUp;
  assert.is(error.code, 'ERR_RESTART_INTENSITY');
  await closed;
  assert.equal(supervisor.children(), []);
  assert.is((await otherDown).code, 0, 'the one that was well had an orderly end');
  assert.is((await rejects(pool.refresh(), 'ERR_DISCONNECTED')).cause, error);
  assert.is(forked.pids.length, 4);
  assert.equal(forked.pids.filter(isAlive), []);
  await pool.close();
  assert.ok(timers() <= before, 'nothing is to come');
});

/** A script that is ready at once, and that does `then` as soon as `gate` is in the folder. */
function readyThen(
  folder: Folder,
  then: string,
  when = `existsSync(${JSON.stringify(folder.at('gate'))})`,
): string {
  return folder.script(
    'ready.mjs',
    `
    import { handle } from ${JSON.stringify(import.meta.resolve('ballermann/replica'))};
    import { existsSync } from 'node:fs';
    handle(() => process.pid);
    setInterval(() => { if (${when}) { ${then} } }, 5);
    `,
  );
}

test('a shock that all share: twelve that die at the same moment all come back', async () => {
  using folder = new Folder();
  await using supervisor = await supervise({
    exec: readyThen(folder, 'process.exit(6)'),
    replicas: 12,
    log: false,
  });
  await using pool = await balance(supervisor, 'shocked');
  const downs: DownEvent[] = [];
  supervisor.on('down', (down) => downs.push(down));
  folder.open('gate');
  await until(() => downs.length >= 12, 'all to die');
  folder.shut('gate');
  await until(() => pool.pids().length === 12, 'all to be back', 30_000);
  assert.ok(downs.every(({ restart }) => restart));
});

test('a pool that dies again and again after it was ready is given up when each has failed ten times in a row', async () => {
  using folder = new Folder();
  const backoff = { initial: 1, max: 4 };
  const exec = readyThen(folder, 'process.exit(3)');
  await using supervisor = await supervise({ exec, replicas: 2, backoff, log: false });
  const downs: DownEvent[] = [];
  supervisor.on('down', (down) => downs.push(down));
  let error: BallermannError | undefined;
  supervisor.on('gaveUp', (why) => {
    error = why;
  });
  folder.open('gate');
  let isClosed = false;
  supervisor.on('close', () => {
    isClosed = true;
  });
  await until(() => isClosed, 'the supervisor to give up', 60_000);
  assert.is(error?.code, 'ERR_RESTART_INTENSITY');
  assert.match(
    error?.message ?? '',
    /no replica is healthy, and each has failed 10 times in a row or more; the last one exited with code 3/,
  );
  for (const { id } of downs.slice(0, 2)) {
    const failures = downs.filter((down) => down.id === id && !down.expected).map((down) => down.failures);
    assert.equal(
      failures.slice(0, 10),
      Array.from({ length: 10 }, (_, i) => i + 1),
      `of replica ${id}`,
    );
  }
});

test('one that cannot come back leaves its healthy fellows alone, however often it has failed', async () => {
  using folder = new Folder();
  // While the token is there, nobody can start.
  const token = JSON.stringify(folder.at('token'));
  const exec = folder.script(
    'start.mjs',
    `
    import { existsSync } from 'node:fs';
    import { handle } from ${JSON.stringify(import.meta.resolve('ballermann/replica'))};
    if (existsSync(${token})) process.exit(7);
    handle(() => process.pid);
    `,
  );
  const options = {
    exec,
    replicas: 2,
    backoff: { initial: 1, max: 2 },
    healthyAfter: 1,
    log: false,
  } as const;
  await using supervisor = await supervise(options);
  await using pool = await balance(supervisor, 'one of two', 1);
  const [victim, fellow] = pool.pids() as [number, number];
  const downs: DownEvent[] = [];
  supervisor.on('down', (down) => downs.push(down));
  mkdirSync(folder.at('token'));
  await killed(supervisor, victim);
  await until(() => downs.length > 13, 'more failures than ten', 60_000);
  assert.equal(pool.pids(), [fellow]);
  assert.is(
    (downs.at(-1) as DownEvent).failures,
    downs.length - 1,
    'the first was a death after a healthy life',
  );
  rmdirSync(folder.at('token'));
  await until(() => pool.pids().length === 2, 'the other one to be back');
});

test('giving up with nobody to hear it: the last cause on stderr and exit code 1, whatever keeps the process alive', async () => {
  using folder = new Folder();
  const options = {
    exec: readyThen(folder, "throw new Error('the last cause')", 'true'),
    backoff: { initial: 1, max: 2 },
  };
  const main = folder.script(
    'main.mjs',
    `
    import { supervise } from ${JSON.stringify(import.meta.resolve('ballermann'))};
    import { createServer } from 'node:http';
    createServer().listen(0, '127.0.0.1');
    await supervise({ ...${JSON.stringify(options)}, replicas: 1, log: process.argv[2] === 'silent' ? false : undefined });
    `,
  );
  for (const mode of ['lines', 'silent']) {
    const child = spawn(process.execPath, [main, mode], { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      errors += text;
    });
    const [code, signal] = await once(child, 'close');
    assert.equal([code, signal], [1, null]);
    const own = errors.split('\n').filter((line) => line.startsWith('ballermann: '));
    assert.match(
      own.at(-1) ?? '',
      /^ballermann: ready\.mjs: gave up: .*Error: the last cause.*exit with code 1$/,
    );
    assert.is(own.filter((line) => line.includes('gave up')).length, 1);
    assert.is(own.length === 1, mode === 'silent', errors);
  }
});

test('giving up with nobody to hear it: the other supervisors of the process are stopped in order first', async () => {
  using folder = new Folder();
  const helping = (text: string): string =>
    `import { handle, onShutdown, ready } from ${JSON.stringify(import.meta.resolve('ballermann/replica'))};\n${text}`;
  const other = folder.script(
    'other.mjs',
    helping(`
    import { writeFileSync } from 'node:fs';
    import { setTimeout as sleep } from 'node:timers/promises';
    onShutdown(async (reason) => {
      await sleep(50);
      writeFileSync(${JSON.stringify(folder.at('other'))}, reason);
    });
    ready();
    `),
  );
  const starting = folder.script('starting.mjs', 'setInterval(() => {}, 1000);');
  const main = folder.script(
    'main.mjs',
    `
    import { supervise } from ${JSON.stringify(import.meta.resolve('ballermann'))};
    const options = { replicas: 1, backoff: { initial: 1, max: 2 } };
    const other = await supervise({ ...options, exec: ${JSON.stringify(other)}, signals: false });
    other.once('close', () => console.log('closed'));
    const starting = supervise({ ...options, exec: ${JSON.stringify(starting)} });
    await supervise({ ...options, exec: ${JSON.stringify(readyThen(folder, 'process.exit(1)', 'true'))} });
    await starting;
    `,
  );
  const child = spawn(process.execPath, [main], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  const [code, signal] = await once(child, 'close');
  assert.equal([code, signal, output], [1, null, 'closed\n'], errors);
  assert.is(folder.has('other') && folder.read('other'), 'close');
  assert.not.match(errors, /ERR_START_FAILED|Uncaught/);
});

test('a replica that is asked to go again and again is no crash loop: it comes back, ever later, and nobody gives up', async () => {
  await using supervisor = await start({
    replicas: 1,
    healthyAfter: 60_000,
    backoff: { initial: 1, max: 2 },
  });
  const downs: DownEvent[] = [];
  supervisor.on('down', (down) => downs.push(down));
  const ways: ((worker: Worker) => unknown)[] = [
    (worker) => worker.process.kill('SIGTERM'),
    (worker) => worker.disconnect(),
  ];
  for (let i = 0; i < 12; i++) {
    await until(() => supervisor.children()[0]?.state === 'up', 'the replica to be up');
    const [worker] = Object.values(cluster.workers ?? {}) as [Worker];
    ways[i % 2]?.(worker);
    await until(() => downs.length === i + 1, 'it to leave');
  }
  assert.equal(
    downs.map(({ code, failures, expected, restart }) => [code, failures, expected, restart]),
    downs.map(() => [0, 0, true, true]),
  );
  assert.is(downs[0]?.restartIn, 0);
  assert.ok(downs.slice(1).every(({ restartIn }) => (restartIn as number) > 0));
});

type Child = ReturnType<Awaited<ReturnType<typeof start>>['children']>[number];

test.run();
