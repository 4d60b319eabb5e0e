/** What supervisors and pools tell: their events, in order and with all they carry, and stats(). */

import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import {
  type Balancer,
  type BallermannError,
  balance,
  call,
  cast,
  type DownEvent,
  pid as pidOf,
  pool as poolOf,
  type Supervisor,
  supervise,
  type UpEvent,
} from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { deferred, duringWindow, gated, hold, note, noted, pidAt, release, upPids } from '../support/gate.js';
import { downOf, fixture, killed, rejects, start, throws, until } from '../support/helpers.js';

/** Everything that a pool tells from now on, by name: what has happened before is told within a turn. */
async function storyOf(pool: Balancer): Promise<string[]> {
  await turn();
  const story: string[] = [];
  for (const name of ['refresh', 'connect', 'disconnect', 'pause', 'resume', 'close'] as const)
    pool.on(name, () => story.push(name));
  return story;
}

test("'down' and 'up' tell of a death and of the restart: the same child, another process", async () => {
  await using supervisor = await start();
  const [child] = supervisor.children();
  const pid = child?.pid as number;
  const up = once(supervisor, 'up') as Promise<[UpEvent]>;
  const event = await killed(supervisor, pid);
  assert.equal(event, {
    id: child?.id,
    pid,
    incarnation: 1,
    code: null,
    signal: 'SIGKILL',
    error: undefined,
    restart: true,
    restartIn: event.restartIn,
    failures: 1,
    expected: false,
  });
  assert.type(event.restartIn, 'number');
  const [again] = await up;
  assert.is(again.id, child?.id);
  assert.is(again.incarnation, 2);
  assert.is.not(again.pid, pid);
  assert.ok(upPids(supervisor).includes(again.pid));
});

test("'down' carries the exit code, the uncaught error, and whether a restart follows", async () => {
  const exit = async (restart: 'permanent' | 'transient' | 'temporary', code: number): Promise<DownEvent> => {
    await using supervisor = await start({ replicas: 1, restart });
    const pid = pidAt(upPids(supervisor), 0);
    const down = downOf(supervisor, pid);
    await rejects(call(pid, { op: 'exit', code }), 'ERR_REPLICA_DIED');
    return down;
  };
  const events = await Promise.all([
    exit('permanent', 0),
    exit('transient', 0),
    exit('transient', 4),
    exit('temporary', 4),
  ]);
  assert.equal(
    events.map(({ code, signal, restart, restartIn }) => [code, signal, restart, restartIn !== undefined]),
    [
      [0, null, true, true],
      [0, null, false, false],
      [4, null, true, true],
      [4, null, false, false],
    ],
  );

  await using supervisor = await start({ exec: fixture('thrower.mjs'), replicas: 1 });
  const pid = pidAt(upPids(supervisor), 0);
  const down = downOf(supervisor, pid);
  cast(pid, 'a text of its own');
  const { code, error } = await down;
  assert.is(code, 1);
  assert.is(error?.name, 'RangeError');
  assert.is(error?.message, 'a text of its own');
  assert.match(error?.stack ?? '', /thrower\.mjs/);
});

test('a supervisor that gives up says so once, then closes when the last replica is gone', async () => {
  await using supervisor = await start({ intensity: 1, period: 60_000, backoff: { initial: 1, max: 1 } });
  await using pool = await balance(supervisor, 'pool');
  const story: string[] = [];
  const errors: BallermannError[] = [];
  supervisor.on('gaveUp', (error) => {
    story.push('gaveUp');
    errors.push(error);
  });
  supervisor.on('down', () => story.push('down'));
  supervisor.on('close', () => story.push(`close with ${supervisor.children().length}`));
  const closed = once(supervisor, 'close');
  for (let deaths = 0; deaths < 2; deaths++) {
    await until(() => upPids(supervisor).length === 2, 'both replicas');
    await killed(supervisor, pidAt(upPids(supervisor), 0));
  }
  await closed;
  assert.is(errors.length, 1);
  assert.is(errors[0]?.code, 'ERR_RESTART_INTENSITY');
  assert.equal(
    story.filter((name) => name !== 'down'),
    ['gaveUp', 'close with 0'],
  );
  assert.is(story.filter((name) => name === 'down').length, 3);
  assert.is(story.at(-1), 'close with 0');
  assert.equal(pool.pids(), []);
});

/** Every kind of listener that fails. */
const failing: (() => unknown)[] = [
  () => {
    throw new Error('thrown by a listener');
  },
  async () => {
    throw new Error('rejected by a listener');
  },
  () => Promise.reject(undefined),
  () => {
    throw new Proxy(new Error(), {
      get: () => {
        throw new Error('a getter that throws');
      },
    });
  },
];

test('a listener that throws or rejects ends nothing: the others are called, and the log has the error', async () => {
  const entries: { fields: { event?: string; err?: Error }; text: string }[] = [];
  const error = (fields: object, text: string): void => {
    if (entries.push({ fields, text }) === 2) throw new Error('the logger fails too');
  };
  const log = { info() {}, warn() {}, error };
  await using supervisor = await start({ replicas: 1, log });
  const pool = await balance(supervisor, 'pool');
  const heard: string[] = [];
  for (const listener of failing) {
    supervisor.on('down', listener);
    pool.on('disconnect', listener);
  }
  supervisor.once('down', failing[0] as () => unknown);
  supervisor.on('down', () => heard.push('down'));
  pool.on('disconnect', () => heard.push('disconnect'));
  await killed(supervisor, pool.pid());
  await until(() => pool.stats().alive === 1, 'the restart');
  await turn();
  assert.equal(heard.sort(), ['disconnect', 'down']);
  assert.is(supervisor.listenerCount('down'), failing.length + 1, 'what was to be called once is gone');
  const told = entries.filter(({ fields }) => fields.event === 'callbackFailed');
  assert.is(told.length, 2 * failing.length + 1);
  const ofThrown = told.filter(({ text }) => text.endsWith(' failed: Error: thrown by a listener'));
  assert.equal(ofThrown.map(({ text }) => text.slice(0, text.indexOf(' failed: '))).sort(), [
    "ballermann: echo.mjs: a listener of 'disconnect' of pool 'pool'",
    "ballermann: echo.mjs: a listener of 'down'",
    "ballermann: echo.mjs: a listener of 'down'",
  ]);
  for (const { fields } of ofThrown) assert.match(fields.err?.stack ?? '', /thrown by a listener\n {4}at /);
  for (const text of ['rejected by a listener', 'undefined', 'an error that cannot be read'])
    assert.is(told.filter((entry) => entry.text.endsWith(` failed: Error: ${text}`)).length, 2, text);
  supervisor.removeAllListeners('down');
});

test('the name of a pool whose supervisor has ended is free: until somebody takes it, the pool says what has ended', async () => {
  const first = await start({ replicas: 1 });
  const before = await balance(first, 'handed on');
  await using second = await start({ replicas: 1 });
  await rejects(balance(second, 'handed on'), 'ERR_POOL_EXISTS');
  await first.close();
  const { cause } = throws(() => pidOf('handed on'), 'ERR_DISCONNECTED');
  assert.is((cause as BallermannError).code, 'ERR_CLOSED');
  const after = await balance(second, 'handed on');
  assert.equal([pidOf('handed on')], upPids(second));
  assert.is(poolOf('handed on'), after);
  throws(() => before.pid(), 'ERR_CLOSED');
  await before.close();
  assert.is(poolOf('handed on'), after, 'the name is not its own any more');
  await after.close();
});

test("close() of a supervisor: a 'down' for each, no restart, then 'close', once", async () => {
  const supervisor = await start({ replicas: 3 });
  const downs: DownEvent[] = [];
  let closes = 0;
  supervisor.on('down', (event) => downs.push(event));
  supervisor.on('close', () => closes++);
  const pids = upPids(supervisor);
  await Promise.all([supervisor.close(), supervisor.close()]);
  await supervisor.close();
  await turn();
  assert.equal(downs.map(({ pid }) => pid).sort(), pids.sort());
  assert.ok(downs.every(({ restart, restartIn }) => !restart && restartIn === undefined));
  assert.is(closes, 1);
  assert.equal(supervisor.children(), []);
});

test('a pool tells of its refreshes, with the pids that are in rotation then', async () => {
  await using supervisor = await start();
  await using pool = await balance(supervisor, 'pool', { minAliveRatio: 1, connect: false });
  const story = await storyOf(pool);
  const refreshes: (readonly number[])[] = [];
  pool.on('refresh', ({ pids }) => refreshes.push(pids));
  await pool.refresh();
  await turn();
  assert.equal(story, ['connect', 'refresh']);
  assert.equal(refreshes, [upPids(supervisor)]);
  assert.equal(pool.pids(), upPids(supervisor));
  const victim = pidAt(pool.pids(), 0);
  const survivor = pidAt(pool.pids(), 1);
  const refreshed = once(pool, 'refresh');
  await killed(supervisor, victim);
  await refreshed;
  const [, after] = refreshes as [readonly number[], readonly number[]];
  assert.is(after.length, 2);
  assert.ok(after.includes(survivor) && !after.includes(victim));
  assert.equal(story, ['connect', 'refresh', 'refresh']);
});

test("'disconnect' comes with the last death, 'connect' with the first replica after it", async () => {
  await using supervisor = await start({ replicas: 1, restart: 'temporary' });
  await using pool = await balance(supervisor, 'pool', { reconnectDelay: 10 });
  const story = await storyOf(pool);
  await killed(supervisor, pool.pid());
  await turn();
  assert.equal(
    story.filter((name) => name !== 'refresh'),
    ['disconnect'],
  );
  const connected = once(pool, 'connect');
  await supervisor.resize(1);
  await connected;
  assert.ok(pool.pid());
  assert.equal(
    story.filter((name) => name !== 'refresh'),
    ['disconnect', 'connect'],
  );
});

test("'pause' and 'resume' enclose each window, however it ends", async () => {
  await using supervisor = await start({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const story = await storyOf(pool);
  const fail = async (): Promise<never> => {
    throw new Error('thrown in the window');
  };
  const controller = new AbortController();
  const endless = (): Promise<never> => {
    setImmediate(() => controller.abort());
    return new Promise(() => {});
  };
  await Promise.allSettled([
    pool.applyWithin(() => turn().then(() => story.push('first'))),
    pool.applyWithin(fail),
    pool.applyWithin(() => story.push('never'), fail),
    pool.applyWithin(endless, 0, { signal: controller.signal }),
    pool.applyWithin(() => turn().then(() => story.push('last'))),
  ]);
  await turn();
  const empty = ['pause', 'resume'];
  assert.equal(story, ['pause', 'first', 'resume', ...empty, ...empty, ...empty, 'pause', 'last', 'resume']);
});

test("a pool's 'close' comes once, and its name is free by then", async () => {
  await using supervisor = await start({ replicas: 1 });
  const pool = await balance(supervisor, 'pool');
  const story = await storyOf(pool);
  const closed = once(pool, 'close');
  await Promise.all([pool.close(), pool.close(), closed]);
  await turn();
  assert.is(story.filter((name) => name === 'close').length, 1);
  await using again = await balance(supervisor, 'pool');
  assert.is(poolOf('pool'), again);
});

test('stats() of a pool: who is there, what they have to do, and what became of the messages', async () => {
  await using supervisor: Supervisor = await gated();
  await using pool = await balance(supervisor, 'pool', 0.5);
  const [first, second] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  const stats = pool.stats();
  const eventLoopUtilization = stats.replicas.map((replica) => replica.eventLoopUtilization);
  assert.equal(stats, {
    name: 'pool',
    alive: 2,
    original: 2,
    outside: [],
    paused: false,
    sent: 0,
    redirected: 0,
    held: 0,
    lostCasts: 0,
    transactions: 0,
    late: 0,
    malformed: 0,
    replicas: [
      {
        pid: first,
        incarnation: 1,
        unfinished: 0,
        blocked: false,
        eventLoopUtilization: eventLoopUtilization[0],
      },
      {
        pid: second,
        incarnation: 1,
        unfinished: 0,
        blocked: false,
        eventLoopUtilization: eventLoopUtilization[1],
      },
    ],
  });

  const held = pool.pids().map(() => pool.call<number>(hold('work')));
  pool.cast(note('a'));
  pool.cast(note('b'));
  const direct = call(first, hold('direct'));
  for (const pid of pool.pids()) await noted(pid, 'start work');
  await noted(first, 'start direct');
  const busy = pool.stats();
  assert.is(busy.sent, 4); // a message to a pid is not the pool's
  assert.equal(
    busy.replicas.map(({ unfinished }) => unfinished),
    [2, 1],
  );
  for (const pid of pool.pids()) await release(pid, 'work');
  await release(first, 'direct');
  await Promise.all([...held, direct]);

  const ending = deferred();
  const transactions = [pool.transaction(() => ending.promise), pool.map(() => ending.promise)];
  assert.is(pool.stats().transactions, 2);
  ending.resolve();
  await Promise.all(transactions);
  assert.is(pool.stats().transactions, 0);

  const waiting = await duringWindow(pool, () => {
    const call = pool.call(note('held'));
    pool.cast(note('held'));
    return turn().then(() => {
      const { paused, held, sent } = pool.stats();
      assert.equal({ paused, held, sent }, { paused: true, held: 2, sent: 4 });
      return [call];
    });
  });
  await Promise.all(waiting);
  const { paused, held: stillHeld, sent } = pool.stats();
  assert.equal({ paused, held: stillHeld, sent }, { paused: false, held: 0, sent: 6 });

  await killed(supervisor, first);
  const { alive, original, replicas } = pool.stats();
  assert.equal([alive, original, replicas.length], [1, 2, 1]);
});

test('casts that are given up are counted', async () => {
  await using supervisor = await gated({ replicas: 1 });
  const pool = await balance(supervisor, 'pool');
  await pool.applyWithin(async () => {
    pool.cast(note('lost'));
    pool.cast(note('lost too'));
    const closed = pool.close();
    await turn();
    assert.is(pool.stats().lostCasts, 2);
    return [closed];
  });
  await pool.close();
  const { alive, held, transactions } = pool.stats();
  assert.equal({ alive, held, transactions }, { alive: 0, held: 0, transactions: 0 });
});

test('events of two supervisors with the same script never mix', async () => {
  await using one = await supervise({ exec: fixture('echo.mjs'), replicas: 1, name: 'one' });
  await using two = await supervise({ exec: fixture('echo.mjs'), replicas: 1, name: 'two' });
  const downs: string[] = [];
  one.on('down', () => downs.push('one'));
  two.on('down', () => downs.push('two'));
  const up = once(two, 'up');
  await killed(two, pidAt(upPids(two), 0));
  await up;
  assert.equal(downs, ['two']);
  assert.equal([one.name, two.name], ['one', 'two']);
});

test.run();
