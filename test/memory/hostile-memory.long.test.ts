/** A replica that writes over all of the shared segment while everybody uses it. */

import { get } from 'node:http';
import {
  applyWithin,
  type Balancer,
  BallermannError,
  balance,
  call,
  cast,
  map,
  pid,
  ping,
  transaction,
} from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Outcome, pidAt, Thread } from '../support/gate.js';
import { fixture, start, until } from '../support/helpers.js';
import { Looks } from '../support/looks.js';

/** ms; what has not settled long after this has been forgotten. */
const BRIEF = 100;
const FORGOTTEN = 20_000;

/** Anything of this is right, as long as it says so: the rotation is spoiled, not the processes. */
const codes = new Set([
  'ERR_PAUSED',
  'ERR_DISCONNECTED',
  'ERR_OVERLOAD',
  'ERR_TIMEOUT',
  'ERR_PROTOCOL',
  'ERR_NO_SUCH_POOL',
  'ERR_CLOSED',
]);

/** Uses everything that looks into the segment; answers the pids that were handed out. */
async function useAll(pool: Balancer, other: number, thread: Thread, port: number): Promise<unknown[]> {
  const brief = { timeout: BRIEF };
  const handed: unknown[] = [];
  const take = (): unknown => handed.push(pid('pool'));
  const attempts = ['pid', 'transaction', 'call'].flatMap((what) => {
    const args = { pid: ['pool'], transaction: ['pool', 'the pid', brief], call: ['pool', echo, brief] }[
      what
    ];
    const there = call<Outcome>(other, { op: 'attempt', what, args }, { timeout: FORGOTTEN });
    return what === 'call' ? [there] : [there, thread.attempt(what, ...(args as unknown[]))];
  });
  const outcomes = await settled([
    (async () => take())(),
    transaction('pool', (taken) => handed.push(taken), brief),
    map('pool', (taken) => handed.push(taken)),
    call('pool', echo, brief),
    call(other, echo, { timeout: FORGOTTEN }),
    (async () => cast('pool', echo))(),
    ping(other, brief),
    applyWithin('pool', () => 'ran', 0, brief),
    applyWithin(
      'pool',
      () => 'ran',
      (replica) => ping(replica, brief),
      brief,
    ),
    pool.refresh(),
    requested(port),
  ]);
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') assert.ok(isAllowed(outcome.reason), outcome.reason);
  for (const { value, error } of await Promise.all(attempts)) {
    if (error !== undefined) assert.ok(codes.has(`${error.code}`), `${error.code}: ${error.message}`);
    else if (typeof value === 'number') handed.push(value);
  }
  const { replicas, transactions } = pool.stats();
  assert.is(replicas.length, 3);
  for (const { eventLoopUtilization, unfinished } of replicas) {
    assert.ok(eventLoopUtilization >= 0 && eventLoopUtilization <= 1);
    assert.ok(unfinished >= 0);
  }
  assert.ok(Number.isSafeInteger(transactions) && transactions >= 0);
  return handed;
}

const echo = { op: 'echo', value: 1 };

function isAllowed(reason: unknown): boolean {
  return reason instanceof BallermannError && codes.has(reason.code);
}

function settled(promises: Promise<unknown>[]): Promise<PromiseSettledResult<unknown>[]> {
  let timer: NodeJS.Timeout | undefined;
  const forgotten = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('not all has settled')), FORGOTTEN);
  });
  return Promise.race([Promise.allSettled(promises), forgotten]).finally(() => clearTimeout(timer));
}

/** Resolves when the request is answered or given up: whether one is served now is not ours to say. */
function requested(port: number): Promise<void> {
  return new Promise((resolve) => {
    const request = get({ port, host: '127.0.0.1', agent: false, timeout: BRIEF }, (response) => {
      response.resume().on('close', resolve);
    });
    request.on('timeout', () => request.destroy()).on('error', () => resolve());
  });
}

/** What the primary signals by pid: nothing may. */
class Signals implements Disposable {
  readonly sent: unknown[] = [];
  readonly #kill = process.kill;

  constructor() {
    process.kill = (...args: unknown[]): true => {
      this.sent.push(args);
      return true;
    };
  }

  [Symbol.dispose](): void {
    process.kill = this.#kill;
  }
}

async function besieged(
  work: (pool: Balancer, vandal: number, other: number, looks: Looks) => Promise<void>,
): Promise<void> {
  using signals = new Signals();
  const downs: unknown[] = [];
  await using supervisor = await start({
    exec: fixture('vandal.mjs'),
    replicas: 3,
    shutdown: 2_000,
    blockedAfter: 100,
    hangTimeout: 30_000,
  });
  supervisor.on('down', ({ pid: gone, signal, code }) => downs.push({ gone, signal, code }));
  await using pool = await balance(supervisor, 'pool', { maxQueueLength: 1_000 });
  const [vandal, other] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  await work(pool, vandal, other, new Looks(supervisor));
  assert.equal(downs, [], 'nobody has died of it');
  assert.equal(signals.sent, []);
}

for (const pattern of ['garbage', 'ones', 'zeros', 'small']) {
  test(`a replica that writes ${pattern} over the whole segment ends, hangs and misleads nobody`, () =>
    besieged(async (pool, vandal, other, looks) => {
      await using thread = await Thread.start();
      const port = await call<number>(other, { op: 'port' });
      const known = pool.pids();
      await call(vandal, { op: 'spoil', pattern });
      const handed: unknown[] = [];
      for (let round = 0; round < 12; round++) {
        handed.push(...(await useAll(pool, other, thread, port)));
        looks.look();
      }
      const times = await call<number>(vandal, { op: 'stop' });
      assert.ok(times > 12, `${times}`);
      // The primary knows who its replicas are; others only that no pid is a group, everybody or init.
      for (const one of handed) assert.ok((one as number) > 1, `${one}`);
      // By its clock one may be blocked now, and left out.
      assert.equal(
        pool.stats().replicas.map((replica) => replica.pid),
        known,
      );
      for (const one of known) assert.is(await call(one, echo), 1);
      const before = looks.look().pools[0]?.handOuts as number;
      await until(async () => {
        await pool.call(echo).catch(() => {}); // the first one that finds the ring spoiled has it mended
        return (looks.look().pools[0]?.handOuts as number) > before;
      }, 'hand-outs to be counted again');
    }));
}

test.run();
