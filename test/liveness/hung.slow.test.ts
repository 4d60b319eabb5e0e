/** Replicas whose event loop does not turn: out of rotation, back again, killed where that is asked for. */

import { readFileSync } from 'node:fs';
import { balance, call, type SupervisorOptions, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { replicaOf } from '#src/primary/replicas/registry.js';
import { ownSegment } from '#src/primary/replicas/slots.js';
import { block, SHORT, stoppedIdle, storyOf, told } from '../support/blocking.js';
import { gated, hold, noted, pidAt, release, Thread, upPids } from '../support/gate.js';
import {
  downOf,
  type Expected,
  fixture,
  next,
  rejects,
  start,
  tally,
  times,
  until,
} from '../support/helpers.js';
import { Folder, later } from '../support/processes.js';

test('a replica in a busy loop gets nothing new until its loop turns again', async () => {
  using folder = new Folder();
  await using supervisor = await supervise({ exec: fixture('gate.mjs'), replicas: 3 }); // 250 ms, the default
  await using pool = await balance(supervisor, 'pool', 1); // a death would bring a refresh
  await using another = await balance(supervisor, 'another');
  await using thread = await Thread.start();
  let refreshes = 0;
  pool.on('refresh', () => refreshes++);
  const pids = pool.pids();
  const [busy, ...others] = pids as [number, number, number];
  const sawBlocked = told(supervisor, 'blocked', busy);
  const { end, reply } = await block(folder, busy);
  const blocked = await sawBlocked;
  assert.is(blocked.id, supervisor.children().find(({ pid }) => pid === busy)?.id);
  assert.ok(blocked.ms >= 250 && blocked.ms < 5_000, `${blocked.ms} ms`);

  for (const one of [pool, another]) {
    assert.equal(one.pids(), others);
    assert.equal(tally(times(300, () => one.pid())), new Map(others.map((pid) => [pid, 150])));
  }
  for (let i = 0; i < 10; i++) assert.is.not((await thread.attempt('pid', 'pool')).value, busy);
  const replies = await Promise.all(times(40, () => pool.call<number>({ op: 'note', value: 'x' })));
  assert.not(replies.includes(busy));
  const { alive, original, replicas } = pool.stats();
  assert.equal([alive, original], [3, 3]);
  assert.equal(
    replicas.map((replica) => replica.blocked),
    [true, false, false],
  );

  const unblocked = told(supervisor, 'unblocked', busy);
  end();
  assert.is(await reply, busy, 'what it had been sent before, it does');
  assert.ok((await unblocked).ms >= blocked.ms);
  assert.equal(pool.pids(), pids);
  assert.is(tally(times(300, () => pool.pid())).get(busy), 100);
  assert.is(refreshes, 0);
});

test('a replica that waits in asynchronous handlers, or for its handler, is not blocked', async () => {
  using folder = new Folder();
  const limit = 1_500; // ms in which any replica gets to run on a busy machine
  await using supervisor = await gated({ replicas: 2, blockedAfter: limit });
  await using plain = await start({
    exec: fixture('start/ready.mjs'),
    replicas: 1,
    blockedAfter: limit,
    hangTimeout: limit,
  });
  const stories = [storyOf(supervisor), storyOf(plain)];
  const [waits, blocks] = upPids(supervisor) as [number, number];
  const [waitsForHandler] = upPids(plain) as [number];
  const waiting = call(waits, hold('it'));
  const unheard = later(call(waitsForHandler, 'nobody handles it'));
  await noted(waits, 'start it');
  for (let round = 0; round < 2; round++) {
    const { end, reply } = await block(folder, blocks);
    await told(supervisor, 'blocked', blocks); // the others have waited as long
    end();
    await reply;
    await told(supervisor, 'unblocked', blocks);
  }
  assert.equal(stories[0]?.of(waits), []);
  assert.equal(stories[1]?.of(waitsForHandler), []);
  await release(waits, 'it');
  await waiting;
  await plain.close();
  await rejects(unheard, 'ERR_REPLICA_DIED').catch(() => {});
});

test('a replica that is hung is killed and restarted, and its calls are settled', async () => {
  using folder = new Folder();
  await using supervisor = await gated({ blockedAfter: SHORT / 2, hangTimeout: 2 * SHORT });
  await using pool = await balance(supervisor, 'pool');
  const story = storyOf(supervisor);
  const [hangs, other] = upPids(supervisor) as [number, number];
  const sawHung = told(supervisor, 'hung', hangs);
  const down = downOf(supervisor, hangs);
  const { reply } = await block(folder, hangs);
  const waiting = later(call(hangs, hold('behind it'))); // it was never taken, but it was for that pid
  const hung = await sawHung;
  assert.ok(hung.ms >= 2 * SHORT && hung.ms < 10_000, `${hung.ms} ms`);
  for (const one of [reply, waiting]) {
    const error = await rejects(one, 'ERR_REPLICA_DIED');
    assert.is(error.signal, 'SIGKILL');
  }
  const { signal, restart } = await down;
  assert.equal([signal, restart], ['SIGKILL', true]);
  await until(() => upPids(supervisor).length === 2, 'its successor');
  assert.equal(story.of(hangs), ['blocked', 'hung']);
  assert.equal(story.of(other), []);
  await pool.refresh();
  assert.is(pool.pids().length, 2);
});

test('a hung replica writes a diagnostic report first, where that is asked for', async () => {
  using folder = new Folder();
  await using supervisor = await gated({
    blockedAfter: SHORT,
    hangTimeout: SHORT,
    hangReports: folder.path,
  });
  const [spins, sleeps] = upPids(supervisor) as [number, number];
  const sawHung = told(supervisor, 'hung', spins);
  await block(folder, spins);
  const { report = '' } = await sawHung;
  const { header, javascriptStack } = JSON.parse(readFileSync(report, 'utf8'));
  assert.is(header.processId, spins);
  assert.is(header.trigger, 'Hang');
  assert.is(header.networkInterfaces, undefined, 'without the network: it would ask DNS');
  assert.match(javascriptStack.stack.join('\n'), /block \(.*fixtures\/gate\.mjs:\d+:\d+\)/);

  await stoppedIdle(sleeps);
  const waiting = later(call(sleeps, hold('it'), { timeout: 30_000 }));
  assert.is((await told(supervisor, 'hung', sleeps)).report, undefined, 'it cannot, and is killed');
  await rejects(waiting, 'ERR_REPLICA_DIED');
});

test('calls to a pool that a hung replica had not begun go to another', async () => {
  using folder = new Folder();
  await using supervisor = await gated({ blockedAfter: SHORT, hangTimeout: SHORT });
  await using pool = await balance(supervisor, 'pool', 0.1);
  const [hangs, other] = upPids(supervisor) as [number, number];
  const { reply } = await block(folder, hangs);
  const calls = times(10, () => pool.call<number>({ op: 'note', value: 'y' }));
  assert.equal(
    await Promise.all(calls),
    times(10, () => other),
  );
  await rejects(reply, 'ERR_REPLICA_DIED');
});

test('where all are blocked, all are in rotation, and the pool says so', async () => {
  using folder = new Folder();
  await using supervisor = await gated({ blockedAfter: SHORT });
  await using pool = await balance(supervisor, 'pool');
  const story: string[] = [];
  for (const name of ['panic', 'calm', 'disconnect'] as const) pool.on(name, () => story.push(name));
  const pids = pool.pids();
  const [first, second] = pids as [number, number];
  const panic = next<[{ pids: number[] }]>(pool, 'panic');
  const blocks = [await block(folder, first), await block(folder, second)];
  assert.equal((await panic)[0].pids, pids);
  assert.equal(pool.pids(), pids);
  assert.equal(
    tally(times(100, () => pool.pid())),
    new Map([
      [first, 50],
      [second, 50],
    ]),
  );
  const calm = next(pool, 'calm');
  blocks[0]?.end();
  await calm;
  assert.equal(pool.pids(), [first]);
  const unblocked = told(supervisor, 'unblocked', second);
  blocks[1]?.end();
  await unblocked;
  assert.equal(pool.pids(), pids);
  assert.equal(story, ['panic', 'calm']);
});

test('stats() says how busy each event loop is', async () => {
  using folder = new Folder();
  await using supervisor = await gated({ blockedAfter: 250 });
  await using pool = await balance(supervisor, 'pool');
  const utilization = (pid: number): number =>
    pool.stats().replicas.find((replica) => replica.pid === pid)?.eventLoopUtilization ?? Number.NaN;
  const [busy, idle] = upPids(supervisor) as [number, number];
  const { end, reply } = await block(folder, busy);
  await until(() => utilization(busy) > 0.9 && utilization(idle) < 0.3, 'one busy, the other idle');
  end();
  await reply;
  await until(() => utilization(busy) < 0.3, 'both idle');
});

test('the loop clock sees handlers that run inside the poll, and those that do not', async () => {
  using folder = new Folder();
  const script = folder.script(
    'worker.mjs',
    `
    import { createServer } from 'node:net';
    import { existsSync } from 'node:fs';
    import { handle } from ${JSON.stringify(import.meta.resolve('ballermann/replica'))};
    const spin = (file) => { while (!existsSync(file)); };
    const ways = {
      message: spin,
      timer: (file) => void setTimeout(spin, 1, file),
      immediate: (file) => void setImmediate(spin, file),
      tick: (file) => void process.nextTick(spin, file),
      microtask: (file) => void Promise.resolve().then(() => spin(file)),
      socket: (file) => void createServer((socket) => { socket.destroy(); spin(file); })
        .listen(0, '127.0.0.1', async function () {
          (await import('node:net')).connect(this.address().port, '127.0.0.1').on('error', () => {});
          this.unref();
        }),
      wait: () => void setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${3 * SHORT}), 1),
    };
    handle(({ way, file }) => { ways[way](file); });
    `,
  );
  await using supervisor = await supervise({ exec: script, replicas: 1, blockedAfter: SHORT });
  const [pid] = upPids(supervisor) as [number];
  for (const way of ['message', 'timer', 'immediate', 'tick', 'microtask', 'socket', 'wait']) {
    const blocked = told(supervisor, 'blocked', pid);
    const reply = call(pid, { way, file: folder.at(way) });
    await blocked;
    const unblocked = told(supervisor, 'unblocked', pid);
    folder.open(way);
    await unblocked;
    await reply;
  }
});

test('a clock that somebody else spoils kills nobody, and spoils no figure', async () => {
  using folder = new Folder();
  await using supervisor = await gated({ replicas: 3, blockedAfter: SHORT / 2, hangTimeout: 2 * SHORT });
  await using pool = await balance(supervisor, 'pool');
  const story = storyOf(supervisor);
  const [past, future, hangs] = upPids(supervisor) as [number, number, number];
  const { segment } = ownSegment();
  const { layout } = segment.addon;
  // Again and again, since a replica that lives sets them right.
  const spoiling = setInterval(() => {
    for (const [pid, busySince, idle] of [
      [past, 1n, -(2n ** 62n)],
      [future, 2n ** 62n, 2n ** 62n],
    ] as const) {
      const { slot } = replicaOf(pid);
      segment.longs[segment.slotWord(slot, layout.slotLoopClock) / 2] = busySince;
      segment.longs[segment.slotWord(slot, layout.slotLoopIdle) / 2] = idle;
    }
  }, 1);
  try {
    for (let round = 0; round < 3; round++) {
      const victim = round === 0 ? hangs : pidAt(upPids(supervisor), 2);
      const sawHung = told(supervisor, 'hung', victim);
      const { reply } = await block(folder, victim);
      await sawHung;
      await rejects(reply, 'ERR_REPLICA_DIED');
      for (const { eventLoopUtilization } of pool.stats().replicas)
        assert.ok(eventLoopUtilization >= 0 && eventLoopUtilization <= 1, `${eventLoopUtilization}`);
      await until(() => upPids(supervisor).length === 3, 'its successor');
    }
    for (const pid of [past, future]) {
      assert.not(story.of(pid).includes('hung'));
      assert.ok(story.of(pid).includes('blocked'), 'the clock was spoilt enough to matter');
    }
  } finally {
    clearInterval(spoiling);
  }
  await until(() => pool.pids().includes(past) && pool.pids().includes(future), 'both to be in rotation');
});

test('blockedAfter: Infinity leaves a busy replica in rotation', async () => {
  using folder = new Folder();
  await using supervisor = await gated({ blockedAfter: Number.POSITIVE_INFINITY });
  await using other = await gated({ replicas: 1, blockedAfter: SHORT });
  await using pool = await balance(supervisor, 'pool');
  const story = storyOf(supervisor);
  const pids = pool.pids();
  const busy = pidAt(pids, 0);
  const ignored = await block(folder, busy);
  const watched = await block(folder, pidAt(upPids(other), 0));
  await told(other, 'blocked', pidAt(upPids(other), 0));
  assert.equal(story.of(busy), []);
  assert.equal(pool.pids(), pids);
  for (const { end, reply } of [ignored, watched]) {
    end();
    await reply;
  }
});

test('limits that are none', async () => {
  const range = (message: RegExp): Expected => ({ code: 'ERR_OUT_OF_RANGE', name: 'RangeError', message });
  const type = (message: RegExp): Expected => ({ code: 'ERR_INVALID_ARG_TYPE', name: 'TypeError', message });
  const rows: [options: object, expected: Expected][] = [
    [{ blockedAfter: 9 }, range(/^options\.blockedAfter must be a number from 10 to 2147483647; got 9$/)],
    [{ blockedAfter: -1 }, range(/options\.blockedAfter .*got -1/)],
    [{ blockedAfter: Number.NaN }, range(/options\.blockedAfter .*got NaN/)],
    [{ blockedAfter: 2 ** 31 }, range(/options\.blockedAfter .*got 2147483648/)],
    [{ blockedAfter: '250' }, type(/options\.blockedAfter .*got '250'/)],
    [{ blockedAfter: null }, type(/options\.blockedAfter .*got null/)],
    [{ hangTimeout: 249 }, range(/^options\.hangTimeout must be at least blockedAfter, 250; got 249$/)],
    [{ blockedAfter: 500, hangTimeout: 300 }, range(/options\.hangTimeout .*500.*got 300/)],
    [{ blockedAfter: Number.POSITIVE_INFINITY, hangTimeout: 1 }, range(/options\.hangTimeout .*got 1/)],
    [{ hangReports: '/there/is/no/such/folder' }, range(/^options\.hangReports .*existing folder; got/)],
    [{ hangReports: true }, type(/options\.hangReports .*a string; got true/)],
    [{ hangTimeout: false }, type(/options\.hangTimeout .*got false/)],
  ];
  for (const [options, expected] of rows)
    await rejects(supervise({ exec: fixture('echo.mjs'), ...options } as SupervisorOptions), expected);
});

test.run();
