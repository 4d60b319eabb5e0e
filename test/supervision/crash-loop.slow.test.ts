/** Replicas that die again and again: at boot, as soon as they are ready, and while one of them waits for its restart. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type BallermannError, balance, type DownEvent, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readyThen } from '../support/failing.js';
import { downOf, killed, next, rejects, start, throws, until } from '../support/helpers.js';
import { Folder, Forked, isAlive, later } from '../support/processes.js';

type Child = ReturnType<Awaited<ReturnType<typeof start>>['children']>[number];

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

test.run();
