/** Bad input and wrong places: a typed error at once that says what is wrong, and everything goes on. */

import cluster from 'node:cluster';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import * as ballermann from 'ballermann';
import { applyWithin, BallermannError, balance, call, cast, pid, ping, supervise } from 'ballermann';
import { handle, onShutdown, ready } from 'ballermann/replica';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Expected, fixture, killed, rejects, start, throws } from '../support/helpers.js';

/** As a JavaScript program would pass it. */
// biome-ignore lint/suspicious/noExplicitAny: what the types forbid is what is tested
type Anything = any;

const root = fileURLToPath(new URL('../../..', import.meta.url));
const echo = fixture('echo.mjs');

const type = (message: RegExp): Expected => ({ code: 'ERR_INVALID_ARG_TYPE', name: 'TypeError', message });
const range = (message: RegExp): Expected => ({ code: 'ERR_OUT_OF_RANGE', name: 'RangeError', message });

/** Runs `fn` with a pool, and then sees whether the pool is as it was. */
async function unharmed(
  name: string,
  fn: (supervisor: ballermann.Supervisor) => Promise<void>,
): Promise<void> {
  await using supervisor = await start();
  const pool = await balance(supervisor, name);
  const pids = pool.pids();
  await fn(supervisor);
  assert.equal(pool.pids(), pids);
  assert.equal([pid(name), pid(name)].sort(), pids.sort());
  assert.equal((await call<{ echo: string }>(name, 'still there?')).echo, 'still there?');
  assert.equal(
    supervisor.children().map(({ state }) => state),
    ['up', 'up'],
  );
}

const badRatios: [ratio: Anything, expected: Expected][] = [
  [0, range(/^ratio must be a number above 0 and up to 1; got 0$/)],
  [-0.5, range(/ratio .*above 0.*got -0.5/)],
  [1.1, range(/ratio .*up to 1.*got 1.1/)],
  [Number.NaN, range(/ratio .*got NaN/)],
  [Number.POSITIVE_INFINITY, range(/ratio .*got Infinity/)],
  ['0.8', type(/ratio .*a number.*got '0.8'/)],
  [true, type(/ratio .*got true/)],
  [null, type(/ratio .*got null/)],
];

test('balance: ratios that are none', () =>
  unharmed('ratios', async (supervisor) => {
    for (const [ratio, expected] of badRatios) await rejects(balance(supervisor, 'bad', ratio), expected);
    for (const [minAliveRatio, expected] of badRatios.filter(([ratio]) => ratio !== null))
      await rejects(balance(supervisor, 'bad', { minAliveRatio }), expected);
    throws(() => pid('bad'), 'ERR_NO_SUCH_POOL');
    await balance(supervisor, 'bad'); // no attempt has taken the name
  }));

test('balance: other options', () =>
  unharmed('options', async (supervisor) => {
    const rows: [options: Anything, expected: Expected][] = [
      [[], type(/an object.*got \[\]/)],
      [
        { minAliveRation: 0.8 },
        type(/^options.minAliveRation is no option; the options are minAliveRatio, /),
      ],
      [{ reconnectDelay: -1 }, range(/options\.reconnectDelay .*got -1/)],
      [{ reconnectDelay: '5' }, type(/options\.reconnectDelay .*got '5'/)],
      [{ reconnectDelay: 2 ** 31 }, range(/options\.reconnectDelay .*2147483647.*got 2147483648/)],
      [{ maxQueueLength: 0 }, range(/options\.maxQueueLength .*1.*got 0/)],
      [{ maxQueueLength: 1.5 }, range(/options\.maxQueueLength .*integer.*got 1.5/)],
      [{ maxQueueLength: 2 ** 32 }, range(/options\.maxQueueLength .*got 4294967296/)],
      [{ connect: 'no' }, type(/options\.connect .*boolean.*got 'no'/)],
      [{ selection: 'random' }, type(/options\.selection .*'round-robin'.*got 'random'/)],
    ];
    for (const [options, expected] of rows) await rejects(balance(supervisor, 'bad', options), expected);
  }));

test('balance: a name that is taken, empty, too long or no string', () =>
  unharmed('taken', async (supervisor) => {
    await rejects(balance(supervisor, 'taken'), { code: 'ERR_POOL_EXISTS', message: /"taken"/ });
    await using other = await start({ replicas: 1 });
    await rejects(balance(other, 'taken'), 'ERR_POOL_EXISTS');
    const rows: [name: Anything, expected: Expected][] = [
      ['', range(/^name must be 1 to 120 bytes.*got ''$/)],
      ['x'.repeat(121), range(/^name must be 1 to 120 bytes.*got '121 bytes'$/)],
      ['ü'.repeat(61), range(/^name .*got '122 bytes'$/)],
      [42, type(/^name must be a string; got 42$/)],
      [undefined, type(/^name .*got undefined$/)],
      [Symbol('pool'), type(/^name .*got Symbol\(pool\)$/)],
    ];
    for (const [name, expected] of rows) await rejects(balance(supervisor, name), expected);
    for (const name of ['x'.repeat(120), 'ü'.repeat(60)]) {
      await balance(supervisor, name);
      assert.type(pid(name), 'number');
    }
  }));

test('balance: no supervisor, or a closed one', () =>
  unharmed('supervisors', async () => {
    for (const [supervisor, got] of [
      [undefined, /got undefined/],
      [{}, /got \{\}/],
      ['supervisor', /got 'supervisor'/],
    ] as [Anything, RegExp][]) {
      const error = await rejects(
        balance(supervisor, 'bad'),
        type(/^supervisor must be the Supervisor that supervise/),
      );
      assert.match(error.message, got);
    }
    const closed = await start({ replicas: 1, name: 'the closed one' });
    await closed.close();
    await rejects(balance(closed, 'bad'), { code: 'ERR_CLOSED', message: /the closed one/ });
    await rejects(closed.resize(2), 'ERR_CLOSED');
  }));

test('supervise: replicas that cannot be counted', () =>
  unharmed('replicas', async (supervisor) => {
    const rows: [replicas: Anything, expected: Expected][] = [
      [0, range(/replicas must be an integer from 1 to \d+; got 0$/)],
      [-1, range(/replicas .*got -1$/)],
      [1.5, range(/replicas must be an integer .*got 1.5$/)],
      [Number.NaN, range(/replicas .*got NaN$/)],
      [1_000_000, range(/replicas .*got 1000000$/)],
      ['2', type(/replicas .*got '2'$/)],
      [null, type(/replicas .*got null$/)],
    ];
    for (const [replicas, expected] of rows) {
      await rejects(supervise({ exec: echo, replicas }), expected);
      await rejects(supervisor.resize(replicas), expected);
    }
  }));

test('more pools, and more replicas, than the segment holds', () =>
  unharmed('room', async (supervisor) => {
    const full = { code: 'ERR_SEGMENT_FULL', message: /there is room for \d+ more|no room/ };
    const made: ballermann.Balancer[] = [];
    const one = () => balance(supervisor, `pool ${made.length}`);
    // Pools of the tests before may be open still, so it is not known how many there is room for.
    while (made.length < 64) {
      const pool = await one().catch((error: BallermannError) => error);
      if (pool instanceof Error) break;
      made.push(pool);
    }
    await rejects(one(), full);
    await made.pop()?.close();
    made.push(await one());
    await rejects(one(), full);
    for (const pool of made) assert.type(pool.pid(), 'number');
    for (const pool of made) await pool.close();

    // One slot more than there are: none is forked.
    await using _other = await start({ replicas: 1 });
    await rejects(supervise({ exec: echo, replicas: 1022 }), full);
    await rejects(supervisor.resize(1024), full);

    // Pools of supervisors that have ended give their places to those that come.
    const ended = await start({ replicas: 1 });
    for (let i = 0; i < 64; i++) await balance(ended, `ended ${i}`).catch(() => {}); // as many as there is room for
    await rejects(balance(supervisor, 'one more'), full);
    await ended.close();
    await (await balance(supervisor, 'one more')).close();
  }));

/** A promise where a value belongs. */
const promise: Anything = Promise.resolve('value');
const forgotten = /; got a promise: did you forget await\?$/;

test('a promise in place of a value: the error asks whether await was forgotten', () =>
  unharmed('promises', async (supervisor) => {
    await rejects(balance(Promise.resolve(supervisor) as Anything, 'promises 2'), type(forgotten));
    await rejects(balance(supervisor, promise), type(forgotten));
    await rejects(balance(supervisor, 'promises 2', promise), type(forgotten));
    await rejects(supervise(promise), type(forgotten));
    await rejects(supervise({ exec: promise }), type(forgotten));
    await rejects(supervisor.resize(promise), type(forgotten));
    await rejects(supervisor.reload(promise), type(forgotten));
    await rejects(call(promise, 1), type(forgotten));
    throws(() => cast(promise, 1), type(forgotten));
    await rejects(ping(promise), type(forgotten));
    throws(() => pid(promise), { code: 'ERR_NO_SUCH_POOL', message: /did you forget await\?$/ });
    const replica = pid('promises');
    const sent = type(/^message must be a value that can be sent; got a promise: did you forget await\?$/);
    for (const target of ['promises', replica]) {
      await rejects(call(target, promise), sent);
      throws(() => cast(target, promise), sent);
    }
    await rejects(call('promises', 1, promise), type(forgotten));
    const uncalled = type(/^fn must be a function; got a promise: pass the function itself, do not call it$/);
    await rejects(applyWithin('promises', promise), uncalled);
    await rejects(ballermann.transaction('promises', promise), uncalled);
    await rejects(ballermann.map('promises', promise), uncalled);
  }));

test('supervise: an exec that is no file', () =>
  unharmed('exec', async () => {
    const missing = new URL('missing.mjs', echo);
    const rows: [exec: Anything, expected: Expected][] = [
      [fileURLToPath(new URL('.', echo)), range(/^options\.exec .*an existing file; got '.*fixtures\/?'$/)],
      [new URL('.', echo), range(/^options\.exec .*an existing file; got '.*fixtures\/?'$/)],
      [missing, range(/^options\.exec .*an existing file; got '.*missing\.mjs'$/)],
      [missing.href, range(/^options\.exec .*missing\.mjs'$/)],
      [fileURLToPath(missing), range(/^options\.exec .*missing\.mjs'$/)],
      ['no/such/file.js', range(/^options\.exec .*no\/such\/file\.js'$/)],
      [new URL('https://example.org/x.js'), range(/^options\.exec .*'https:\/\/example\.org\/x\.js'$/)],
      ['', range(/^options\.exec .*got ''$/)],
      [42, type(/^options\.exec .*path.*got 42$/)],
      [undefined, type(/^options\.exec .*got undefined$/)],
    ];
    for (const [exec, expected] of rows) await rejects(supervise({ exec }), expected);
  }));

test('supervise: other options', () =>
  unharmed('supervise', async () => {
    const rows: [options: Anything, expected: Expected][] = [
      [{ replica: 2 }, type(/^options.replica is no option; the options are exec, replicas, /)],
      [{ args: 'one' }, type(/^options\.args .*array of strings.*'one'/)],
      [{ args: [1] }, type(/^options\.args /)],
      [{ execArgv: {} }, type(/^options\.execArgv /)],
      [{ env: 'A=1' }, type(/^options\.env .*'A=1'/)],
      [{ env: { A: 1 } }, type(/^options\.env\.A .*got 1/)],
      [{ cwd: 'no/such/folder' }, range(/^options\.cwd .*no\/such\/folder/)],
      [{ cwd: echo.pathname }, range(/^options\.cwd .*folder/)],
      [{ serialization: 'xml' }, type(/^options\.serialization .*'json', 'advanced'.*got 'xml'/)],
      [{ restart: 'always' }, type(/^options\.restart .*'permanent'.*got 'always'/)],
      [{ intensity: -1 }, range(/^options\.intensity .*got -1/)],
      [{ intensity: 0.5 }, range(/^options\.intensity .*got 0.5/)],
      [{ period: Number.NaN }, range(/^options\.period .*got NaN/)],
      [{ period: 0 }, range(/^options\.period .*from 1 .*got 0/)],
      [{ healthyAfter: -1 }, range(/^options\.healthyAfter .*got -1/)],
      [{ log: true }, type(/^options\.log .*false or a logger.*got true/)],
      [{ log: { info() {}, warn() {} } }, type(/^options\.log .*info, warn and error/)],
      [{ backoff: { initial: -1 } }, range(/^options\.backoff\.initial .*got -1/)],
      [{ backoff: { initial: 200, max: 100 } }, range(/^options\.backoff\.max .*200.*got 100/)],
      [
        { backoff: { factor: 2 } },
        type(/^options.backoff.factor is no option; the options are initial, max$/),
      ],
      [{ shutdown: '5s' }, type(/^options\.shutdown .*got '5s'/)],
      [{ readyTimeout: 2 ** 31 }, range(/^options\.readyTimeout .*got 2147483648/)],
      [{ startConcurrency: 0 }, range(/^options\.startConcurrency .*got 0/)],
      [{ maxHeldRequests: -1 }, range(/^options\.maxHeldRequests .*integer from 0 to .*got -1/)],
      [{ maxHeldRequests: Infinity }, range(/^options\.maxHeldRequests .*got Infinity/)],
      [{ maxHoldTime: '1' }, type(/^options\.maxHoldTime .*got '1'/)],
      [{ listen: 'round-robin' }, type(/^options\.listen .*'balanced', 'node'.*got 'round-robin'/)],
      [{ sticky: 1 }, type(/^options\.sticky .*boolean or a function.*got 1/)],
      [{ sticky: true, listen: 'node' }, range(/^options\.sticky .*'balanced'.*got true/)],
      [{ signals: 'SIGTERM' }, type(/^options\.signals .*boolean.*got 'SIGTERM'/)],
      [{ waitReady: 1 }, type(/^options\.waitReady .*'listen', 'ready', 'online'.*got 1/)],
      [{ waitReady: 'handle' }, type(/^options\.waitReady .*got 'handle'/)],
      [{ name: 7 }, type(/^options\.name .*string.*got 7/)],
    ];
    for (const [options, expected] of rows) await rejects(supervise({ exec: echo, ...options }), expected);
    for (const options of [undefined, null, 'echo.mjs', [echo]] as Anything[])
      await rejects(supervise(options), type(/^options must be an object/));
  }));

test('pid: a pool that nobody has', () =>
  unharmed('pools', async () => {
    throws(() => pid('nobody'), { code: 'ERR_NO_SUCH_POOL', message: /"nobody"/ });
    for (const name of [undefined, 42, {}, '', 'x'.repeat(5_000)] as Anything[])
      throws(() => pid(name), 'ERR_NO_SUCH_POOL');
    await rejects(call('nobody', 1), { code: 'ERR_NO_SUCH_POOL', message: /"nobody"/ });
    throws(() => cast('nobody', 1), 'ERR_NO_SUCH_POOL');
    throws(() => ballermann.pool('nobody'), 'ERR_NO_SUCH_POOL');
    for (const attempt of [
      applyWithin('nobody', () => assert.unreachable()),
      ballermann.transaction('nobody', () => assert.unreachable()),
      ballermann.map('nobody', () => assert.unreachable()),
      ballermann.refresh('nobody'),
    ])
      await rejects(attempt, 'ERR_NO_SUCH_POOL');
  }));

test('pids of strangers, of dead replicas, and what is no pid', () =>
  unharmed('pids', async () => {
    await using other = await start({ replicas: 1, restart: 'temporary' });
    const dead = other.children()[0]?.pid as number;
    await killed(other, dead);
    for (const stranger of [process.pid, process.ppid, 1, 2 ** 40, dead]) {
      const expected = {
        code: 'ERR_NO_SUCH_REPLICA',
        message: new RegExp(`no replica has pid ${stranger} \\(any more\\)$`),
      };
      assert.is((await rejects(call(stranger, 1), expected)).pid, stranger);
      await rejects(ping(stranger), expected);
      throws(() => cast(stranger, 1), expected);
    }
    for (const [value, got] of [
      [Number.NaN, /got NaN$/],
      [0, /got 0$/],
      [-1, /got -1$/],
      [1.5, /got 1.5$/],
      [undefined, /got undefined$/],
      [null, /got null$/],
      [{}, /got \{\}$/],
    ] as [Anything, RegExp][]) {
      for (const error of [
        await rejects(call(value, 1), type(/^target must be a pool's name or a replica's pid; /)),
        throws(() => cast(value, 1), type(/^target must be a pool's name or a replica's pid; /)),
        await rejects(ping(value), type(/^pid must be a replica's pid; /)),
      ])
        assert.match(error.message, got);
    }
    await rejects(ping('123' as Anything), type(/^pid must be a replica's pid; got '123'$/));
  }));

test('applyWithin: wait, fn and options', () =>
  unharmed('windows', async () => {
    const never = (): never => assert.unreachable() as never;
    const waits: [wait: Anything, expected: Expected][] = [
      [-1, range(/^wait must be .*0.*got -1$/)],
      [Number.NaN, range(/^wait must be .*got NaN$/)],
      [Number.POSITIVE_INFINITY, range(/^wait must be .*got Infinity$/)],
      ['x', type(/^wait must be a number of ms or a function; got 'x'$/)],
      ['100', type(/^wait must be .*got '100'$/)],
      [null, type(/^wait must be .*got null$/)],
      [{}, type(/^wait must be .*got \{\}$/)],
    ];
    for (const [wait, expected] of waits) await rejects(applyWithin('windows', never, wait), expected);
    for (const [fn, got] of [
      [undefined, /got undefined$/],
      [null, /got null$/],
      ['fn', /got 'fn'$/],
      [{}, /got \{\}$/],
    ] as [Anything, RegExp][]) {
      const error = await rejects(applyWithin('windows', fn), type(/^fn must be a function; /));
      assert.match(error.message, got);
      await rejects(ballermann.transaction('windows', fn), type(/^fn must be a function; /));
      await rejects(ballermann.map('windows', fn), type(/^fn must be a function; /));
    }
    const options: [options: Anything, expected: Expected][] = [
      [{ timeout: -1 }, range(/^options\.timeout .*got -1$/)],
      [{ timeout: '1s' }, type(/^options\.timeout .*got '1s'$/)],
      [{ signal: 'stop' }, type(/^options\.signal .*AbortSignal.*got 'stop'$/)],
      [{ timeOut: 1 }, type(/^options.timeOut is no option; the options are .*timeout/)],
      [5, type(/^options .*an object.*got 5$/)],
    ];
    for (const [given, expected] of options) await rejects(applyWithin('windows', never, 0, given), expected);
    for (const [given, expected] of options) {
      await rejects(ballermann.transaction('windows', never, given), expected);
      await rejects(call('windows', 1, given), expected);
    }
    assert.is(await applyWithin('windows', () => 'and it opens', 0), 'and it opens');
  }));

type Outcomes = [what: string, code: string | undefined, message: string][];

function areRefused(outcomes: Outcomes, expected: string[], where: RegExp): void {
  assert.equal(
    outcomes.map(([what]) => what),
    expected,
  );
  for (const [what, code, message] of outcomes) {
    assert.is(code, 'ERR_WRONG_PROCESS', `${what}: ${message}`);
    assert.ok(message.startsWith(`${what}() works in `), message);
    const home = ofReplica.includes(what)
      ? / works in a replica's main thread; this is /
      : ofPrimary.includes(what)
        ? / works in the primary's main thread; this is /
        : / works in the main threads of the primary and of replicas; this is /;
    assert.match(message, home);
    if (!ofReplica.includes(what)) assert.match(message, where);
  }
}

const ofPrimary = ['supervise', 'balance', 'applyWithin', 'map', 'refresh', 'pool'];
const ofPrimaryAndReplica = ['call', 'cast', 'ping'];
const ofReplica = ['handle', 'ready', 'onShutdown'];

test("what is the primary's alone is refused in a replica and in its threads", () =>
  unharmed('in replica', async () => {
    await using supervisor = await supervise({ exec: fixture('arguments/replica.mjs'), replicas: 1 });
    const replica = supervisor.children()[0]?.pid as number;
    areRefused(await call<Outcomes>(replica, 'here'), ofPrimary, new RegExp(`this is replica ${replica}`));
    const everything = [...ofPrimary, ...ofPrimaryAndReplica, ...ofReplica];
    areRefused(await call<Outcomes>(replica, 'in a thread'), everything, /this is a worker thread/);
  }));

test("what is no thread's is refused in a thread of the primary", () =>
  unharmed('in thread', async () => {
    const thread = new Worker(fixture('arguments/thread.mjs'));
    const [[outcomes]] = await Promise.all([once(thread, 'message'), once(thread, 'exit')]);
    areRefused(outcomes, [...ofPrimary, ...ofPrimaryAndReplica, ...ofReplica], /this is a worker thread/);
  }));

test('supervise is refused in a worker of node:cluster', () =>
  unharmed('in worker', async () => {
    cluster.setupPrimary({ exec: fileURLToPath(fixture('arguments/worker.mjs')), execArgv: [] });
    const worker = cluster.fork();
    const [[outcomes]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
    areRefused(outcomes, ['supervise', ...ofReplica], /worker of node:cluster/);
  }));

test("what is a replica's alone is refused in the primary", () => {
  const outside = {
    code: 'ERR_WRONG_PROCESS',
    message: /replica.*; this is a process that supervise\(\) has not started: run the script that calls/,
  };
  throws(() => handle(() => {}), outside);
  throws(() => ready(), outside);
  throws(() => onShutdown(() => {}), outside);
  throws(() => handle(undefined as Anything), type(/^handler must be a function; got undefined$/));
  throws(() => onShutdown('hook' as Anything), type(/^hook must be a function; got 'hook'$/));
});

/** The package as it would be installed without a built addon. */
async function withoutAddon(fn: (copy: typeof ballermann, folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'ballermann-test-'));
  try {
    cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
    cpSync(join(root, 'package.json'), join(folder, 'package.json'));
    await fn(await import(pathToFileURL(join(folder, 'dist', 'index.js')).href), folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const unavailable = { code: 'ERR_NATIVE_UNAVAILABLE', message: /scripts\/build-addon\.js$/ };

test('ERR_NATIVE_UNAVAILABLE without an addon: says what to run, at the first use and at each', () =>
  unharmed('without addon', () =>
    withoutAddon(async (copy) => {
      const error = await rejects(copy.supervise({ exec: echo }), unavailable);
      assert.instance(error, copy.BallermannError);
      assert.instance(error, BallermannError, 'an error of one copy is an instance of the other');
      assert.is.not(error.constructor, BallermannError, 'it is the copy that speaks');
      assert.match(error.message, process.version);
      assert.match(String(error.cause), /Release\/ballermann\.node/);
      assert.match(String(error.cause), `prebuilds/${process.platform}-${process.arch}`);
      await rejects(copy.supervise({ exec: echo }), unavailable);
      throws(() => copy.pid('nobody'), 'ERR_NO_SUCH_POOL');
    }),
  ));

test('ERR_NATIVE_UNAVAILABLE with an addon that is none', () =>
  withoutAddon(async (copy, folder) => {
    mkdirSync(join(folder, 'build', 'Release'), { recursive: true });
    writeFileSync(join(folder, 'build', 'Release', 'ballermann.node'), 'built for another platform');
    const error = await rejects(copy.supervise({ exec: echo }), unavailable);
    assert.match(String((error.cause as Error).message), /ballermann\.node/);
  }));

test.run();
