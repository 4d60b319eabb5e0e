/** Replicas that die again and again: at boot, as soon as they are ready, and while one of them waits for its restart. */

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
  const exec = folder.script(
    'ready.mjs',
    `
    import { handle } from ${JSON.stringify(import.meta.resolve('ballermann/replica'))};
    import { existsSync } from 'node:fs';
    handle(() => {});
    setInterval(() => existsSync(${JSON.stringify(folder.at('gate'))}) && process.exit(4), 5);
    `,
  );
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
  const refreshed = later(pool.refresh()); // waits for that restart

  const gaveUp = later(next<[BallermannError]>(supervisor, 'gaveUp'));
  const closed = later(next(supervisor, 'close'));
  const otherDown = later(downOf(supervisor, other.pid as number));
  assert.is((await killed(supervisor, last.pid as number)).restart, false);
  const [error] = await gaveUp;
  assert.is(error.code, 'ERR_RESTART_INTENSITY');
  await closed;
  assert.equal(supervisor.children(), []);
  assert.is((await otherDown).code, 0, 'the one that was well had an orderly end');
  assert.is((await rejects(refreshed, 'ERR_DISCONNECTED')).cause, error);
  assert.is(forked.pids.length, 4);
  assert.equal(forked.pids.filter(isAlive), []);
  await pool.close();
  assert.ok(timers() <= before, 'nothing is to come');
});

type Child = ReturnType<Awaited<ReturnType<typeof start>>['children']>[number];

test.run();
