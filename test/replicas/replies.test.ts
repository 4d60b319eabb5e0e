/** Whatever a handler gives or a caller sends: its own call settles, and nobody else notices. */

import { AsyncLocalStorage } from 'node:async_hooks';
import cluster from 'node:cluster';
import { setImmediate as turn } from 'node:timers/promises';
import { serialize } from 'node:v8';
import { type Balancer, type BallermannError, balance, call, ping, type Supervisor } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { pidAt } from '../support/gate.js';
import { type Failure, fixture, rejects, start, until } from '../support/helpers.js';

const serializations = ['json', 'advanced'] as const;

function odd(options: Parameters<typeof start>[0] = {}): Promise<Supervisor> {
  return start({ exec: fixture('odd.mjs'), replicas: 1, ...options });
}

/** Of failures; undefined stands for a success. */
type Codes = Set<string | undefined>;

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = { in: value };
  return value;
}

/** How deep a value may be that this writes, as far as we look: since Node 26 JSON takes any depth. */
function deepest(write: (value: unknown) => unknown): number {
  let [low, high] = [1, 10_000];
  while (low < high) {
    const depth = (low + high + 1) >> 1;
    try {
      write(nested(depth));
      low = depth;
    } catch {
      high = depth - 1;
    }
  }
  return low;
}

/** The one replica lives, and owes nothing. */
async function isWell(pool: Balancer, pid: number, lateAnswers = 0): Promise<void> {
  assert.is(await pool.call({ op: 'pid' }), pid);
  await ping(pid);
  const { malformed, late, replicas } = pool.stats();
  assert.equal([malformed, late, replicas[0]?.unfinished], [0, lateAnswers, 0]);
}

for (const serialization of serializations) {
  test(`${serialization}: a reply that cannot be read, awaited or sent is ERR_REMOTE, and the replica lives`, async () => {
    await using supervisor = await odd({ serialization });
    await using pool = await balance(supervisor, 'pool');
    const pid = pool.pid();
    const ofAny = [
      'thenGetter',
      'thenGetterLater',
      'thenThrows',
      'thenRejects',
      'hostile',
      'asyncHostile',
      'shy',
    ];
    const andMore = [
      'revoked',
      'asyncRevoked',
      'badConstructor',
      'getter',
      'function',
      'symbol',
      'lateToJSON',
    ];
    const thrown = ['throwsHostile', 'throwsRevoked', 'throwsNothing'];
    const ofJson = serialization === 'json' ? ['bigint', 'circle', 'toJSON'] : [];
    const refused = [...ofAny, ...andMore, ...thrown, ...ofJson];
    await Promise.all(refused.map((what) => rejects(pool.call({ op: 'reply', what }), 'ERR_REMOTE')));
    const failures: BallermannError[] = [];
    supervisor.on('castFailed', (error) => failures.push(error));
    for (const what of thrown) pool.cast({ op: 'reply', what });
    await until(() => failures.length === thrown.length, 'the casts to fail');
    await isWell(pool, pid);
  });
}

test('whatever has a then is awaited, as await does it, and counts once', async () => {
  await using supervisor = await odd();
  await using pool = await balance(supervisor, 'pool');
  const pid = pool.pid();
  const awaited = [
    'resolves',
    'resolvesLater',
    'resolvesTwice',
    'nestedThenable',
    'function_',
    'class_',
    'lazy',
  ];
  for (const what of awaited) assert.is(await pool.call({ op: 'reply', what }), 'awaited', what);
  const reply = pool.call<{ plain: { then: string } }>({ op: 'reply', what: 'thenIsNoFunction' });
  assert.equal((await reply).plain.then, 'no function');
  await isWell(pool, pid);
});

for (const serialization of serializations) {
  test(`${serialization}: however deep a message or a reply is, it is carried or refused, and its neighbours arrive`, async () => {
    await using supervisor = await odd({ serialization });
    await using pool = await balance(supervisor, 'pool');
    const pid = pool.pid();
    const neighbour = (): Promise<unknown> => pool.call({ op: 'pid' });
    const codeOf = (one: Promise<unknown>): Promise<string | undefined> =>
      one.then(
        () => undefined,
        ({ code }: Failure) => code,
      );
    const sent: Codes = new Set();
    const replied: Codes = new Set();
    const asked: Codes = new Set();
    const limit = deepest(serialization === 'json' ? JSON.stringify : serialize);
    const around = Array.from({ length: 60 }, (_, i) => limit + 5 - i); // the batch needs a little more stack than the call
    for (const depth of [...around, 100, limit >> 1, (3 * limit) >> 2, 100_000]) {
      const before = neighbour();
      const message = codeOf(pool.call({ op: 'echo', value: [], deep: nested(depth) }));
      const between = neighbour();
      const reply = codeOf(pool.call({ op: 'nested', depth }));
      const relayed = codeOf(pool.call({ op: 'ask', depth }));
      assert.equal(await Promise.all([before, between, neighbour()]), [pid, pid, pid]);
      asked.add(await relayed);
      sent.add(await message);
      replied.add(await reply);
    }
    for (const codes of [sent, replied, asked]) assert.ok(codes.delete(undefined), 'some are carried');
    sent.delete('ERR_REMOTE'); // V8's serializer needs more stack to read than to write
    const left = (codes: Codes, expected: string): unknown[] =>
      [...codes].filter((code) => code !== expected);
    assert.equal(left(sent, 'ERR_INVALID_ARG_TYPE'), []);
    assert.equal([...left(replied, 'ERR_REMOTE'), ...left(asked, 'ERR_REMOTE')], []);
    await isWell(pool, pid);
  });
}

test('a function whose toJSON throws is refused at the call, wherever it is in the message', async () => {
  await using supervisor = await odd();
  await using pool = await balance(supervisor, 'pool');
  const pid = pool.pid();
  const toJSON = (): never => {
    throw new Error('on purpose');
  };
  const asked = Object.assign(() => {}, { toJSON });
  const neighbours = [pool.call({ op: 'pid' })];
  await Promise.all(
    [{ asked }, [asked], { in: [{ asked }] }].map((value) =>
      rejects(pool.call({ op: 'echo', value }), { code: 'ERR_INVALID_ARG_TYPE', message: /on purpose/ }),
    ),
  );
  neighbours.push(pool.call({ op: 'pid' }));
  assert.equal(await Promise.all(neighbours), [pid, pid]);
  await isWell(pool, pid);
});

test('each message has an asynchronous context of its own, in the replica and for its caller', async () => {
  await using supervisor = await odd();
  await using pool = await balance(supervisor, 'pool');
  await pool.call({ op: 'pid' });
  const caller = new AsyncLocalStorage<string>();
  const ask = (op: string, name?: string): Promise<unknown> =>
    caller.run(`caller of ${op}`, async () => {
      const reply = await pool.call({ op, name });
      assert.is(caller.getStore(), `caller of ${op}`);
      return reply;
    });
  for (let i = 0; i < 3; i++) {
    const asked = [
      ask('enter', 'alice'),
      ask('user'),
      ask('enterLater', 'bob'),
      ask('userLater'),
      ask('enter', 'carol'),
      ask('userLater'),
    ];
    assert.equal(await Promise.all(asked), ['alice', 'nobody', 'bob', 'nobody', 'carol', 'nobody']);
    assert.is(await ask('user'), 'nobody');
  }
});

test('messages and pings that wait for the first handler: contexts of their own, and one that is given up leaves nothing', async () => {
  await using supervisor = await odd({ args: ['later'] });
  await using pool = await balance(supervisor, 'pool');
  const pid = pidAt(pool.pids(), 0);
  const replies = [
    call(pid, { op: 'user' }),
    call(pid, { op: 'enter', name: 'alice' }),
    call(pid, { op: 'user' }),
  ];
  const aborting = new AbortController();
  const reason = new Error('no longer wanted');
  const { signal } = aborting;
  const kept = ping(pid);
  const givenUp = [ping(pid, { signal }), call(pid, { op: 'enter', name: 'bob' }, { signal })];
  const unfinished = (): number | undefined => pool.stats().replicas[0]?.unfinished;
  for (let i = 0; i < 3; i++) await turn(); // they go out
  assert.is(unfinished(), 6);
  aborting.abort(reason);
  for (const one of givenUp) assert.is(await one.catch((error) => error), reason);
  await until(() => unfinished() === 4, 'the replica to give them up');
  Object.values(cluster.workers ?? {})[0]?.send('begin');
  assert.equal(await Promise.all(replies), ['nobody', 'alice', 'nobody']);
  await kept;
  await isWell(pool, pid, givenUp.length);
});

test.run();
