/** What is done to replicas that live for months leaves nothing behind, in the primary and in the replicas. */

import cluster, { type Worker } from 'node:cluster';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { type Balancer, balance, call, ping, type Supervisor } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, killed, start, until } from '../support/helpers.js';
import { leftBy, memory } from '../support/memory.js';

/** Bytes: less than a closure and its context. */
const LEAST = 100;

const RUNS = 1_000;

const { signal } = new AbortController();

const acts: Record<string, (pool: Balancer, supervisor: Supervisor) => unknown> = {
  pid: (pool) => pool.pid(),
  call: (pool) => pool.call('x', { signal }),
  'call of a pid': (pool) => call(pool.pid(), 'x'),
  async cast(pool) {
    pool.cast('x');
    await turn();
  },
  ping: (pool) => ping(pool.pid(), { signal }),
  async 'a call given up'(pool) {
    const controller = new AbortController();
    const given = pool.call('x', { signal: controller.signal }).catch(() => {});
    controller.abort();
    await given;
  },
  'a window by ping': (pool) => pool.applyWithin(() => {}, ping),
  'a window by ms': (pool) => pool.applyWithin(() => {}, 0, { signal, timeout: 10_000 }),
  async 'a window given up'(pool) {
    const controller = new AbortController();
    const given = pool.applyWithin(() => sleep(1), 0, { signal: controller.signal }).catch(() => {});
    await turn();
    controller.abort();
    await given;
  },
  transaction: (pool) => pool.transaction((pid) => call(pid, 'x')),
  map: (pool) => pool.map((pid) => ping(pid)),
  refresh: (pool) => pool.refresh(),
  stats: (pool) => pool.stats(),
  metrics: (_, supervisor) => supervisor.metrics(),
  async 'a pool'(_, supervisor) {
    await using pool = await balance(supervisor, 'another');
    await pool.call('x');
  },
};

for (const [name, act] of Object.entries(acts))
  test(`the primary: ${name}`, async () => {
    await using supervisor = await start({ replicas: 3 });
    const pool = await balance(supervisor, 'left');
    const left = await leftBy(() => act(pool, supervisor), RUNS);
    assert.ok(left < LEAST, `${left} bytes each time`);
  });

for (const name of ['call', 'call of a pid', 'cast', 'ping', 'transaction', 'a call given up'])
  test(`a replica, and the primary that relays: ${name}`, async () => {
    await using supervisor = await start({ replicas: 3 });
    await balance(supervisor, 'left');
    const exec = fixture('asker.mjs');
    await using askers = await start({ exec, replicas: 1, execArgv: ['--expose-gc'] });
    const asker = await balance<(act: object) => number>(askers, 'asker');
    const ask = () => asker.call({ act: name, pool: 'left', runs: 100 }, { timeout: 60_000 });
    const looked = () => asker.call({});
    const left = (await leftBy(ask, RUNS / 100, looked)) / 100;
    const relayed = (await leftBy(ask, RUNS / 100)) / 100;
    assert.ok(left < LEAST, `${left} bytes each time in the replica`);
    assert.ok(relayed < LEAST, `${relayed} bytes each time in the primary`);
  });

test('a replica that died is forgotten, though one lives that the same reload has brought', async () => {
  await using supervisor = await start({ replicas: 4, healthyAfter: 0 });
  await supervisor.reload({ maxUnavailable: 4 });
  const [, ...victims] = supervisor.children().map(({ pid }) => pid as number);
  const workers = (Object.values(cluster.workers ?? {}) as Worker[])
    .filter(({ process }) => victims.includes(process.pid as number))
    .map((worker) => new WeakRef(worker));
  assert.is(workers.length, 3);
  await turn(); // a WeakRef keeps what it was made of for its turn
  for (const victim of victims) await killed(supervisor, victim);
  await until(() => supervisor.children().every(({ state }) => state === 'up'), 'all to be up again');
  const reachable = async (): Promise<number> => {
    memory();
    await turn();
    return workers.filter((worker) => worker.deref() !== undefined).length;
  };
  await until(async () => (await reachable()) === 0, 'the dead to be forgotten');
});

test.run();
