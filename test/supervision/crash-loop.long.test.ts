/** Crash loops with their real times between the restarts: who comes back, and when nobody does. */

import cluster, { type Worker } from 'node:cluster';
import { mkdirSync, rmdirSync } from 'node:fs';
import { type BallermannError, balance, type DownEvent, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readyThen } from '../support/failing.js';
import { killed, start, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

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

test.run();
