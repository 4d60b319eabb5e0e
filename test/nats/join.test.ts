/** Who may join, from where and when; and that whoever is no primary may call the fleet and open windows over it all the same. */

import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type Balancer, balance, type Supervisor } from 'ballermann';
import { type FleetPool, fleetPool, join } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FleetBucket } from '#src/nats/buckets.js';
import { MEMBERS } from '#src/nats/keys.js';
import { callSubject } from '#src/nats/subjects.js';
import { fixture, rejects, start, until } from '../support/helpers.js';
import { isMissing, NatsServer } from '../support/nats.js';

const it = suite('join');
const test = isMissing ? it.skip : it;

let server: NatsServer;
let supervisor: Supervisor;
let nc: NatsConnection;
let balancer: Balancer;
let fleet: FleetPool;

it.before(async () => {
  if (isMissing) return;
  server = await NatsServer.start();
  supervisor = await start({ exec: fixture('nats/inside.mjs'), replicas: 1 });
  nc = await connect({ servers: server.url });
  balancer = await balance(supervisor, 'joined');
  fleet = fleetPool(nc, 'joined');
});

it.after(async () => {
  await nc?.close();
  await supervisor?.close();
  await server?.[Symbol.asyncDispose]();
});

interface Told {
  value?: unknown;
  code?: string;
  message?: string;
}

/** As fixtures/nats/operations.mjs does it in the replica. */
async function inReplica(message: object): Promise<Told> {
  return (await balancer.call({ url: server.url, ...message })) as Told;
}

/** The keys of the members, of all pools, as the server has them. */
async function stored(): Promise<string[]> {
  const bucket = await FleetBucket.open(nc, MEMBERS, 0);
  return (await bucket.entries('>')).map(({ key }) => key);
}

test('is for the main thread of a primary: not for a replica, not for a worker thread', async () => {
  const inside = await inReplica({ op: 'join', pool: 'joined' });
  assert.is(inside.code, 'ERR_WRONG_PROCESS', inside.message);
  assert.match(String(inside.message), `this is replica ${balancer.pid()}`);
  await using thread = await Thread.start();
  const told = await thread.ask({ op: 'join', pool: 'joined' });
  assert.is(told.code, 'ERR_WRONG_PROCESS', told.message);
  assert.match(String(told.message), 'a worker thread');
});

test('a replica and a worker thread call the fleet, see its members, and open windows over it', async () => {
  await using member = await join(nc, balancer);
  await using thread = await Thread.start();
  const { value } = await thread.ask({ op: 'call', pool: 'joined', message: { a: 1 } });
  assert.equal(value, { echo: { a: 1 } });
  assert.equal((await thread.ask({ op: 'members', pool: 'joined' })).value, [member.id]);
  assert.type((await thread.ask({ op: 'window', pool: 'joined' })).value, 'number');
  assert.equal((await inReplica({ op: 'call', pool: 'joined', message: 'x' })).value, { echo: 'x' });
  assert.equal((await inReplica({ op: 'members', pool: 'joined' })).value, [member.id]);
  const own = await inReplica({ op: 'window', pool: 'joined', timeout: 300 });
  assert.is(own.code, 'ERR_TIMEOUT', 'the window waits for the very call that waits for it');
  assert.match(String(own.message), member.id);
  assert.equal(await fleet.call('after'), { echo: 'after' });
});

test('joins once by a connection: again after it has left, or by another connection', async () => {
  const joining = join(nc, balancer);
  await rejects(join(nc, balancer), { code: 'ERR_POOL_EXISTS', message: /leave\(\) that membership first/ });
  const member = await joining;
  await rejects(join(nc, balancer), 'ERR_POOL_EXISTS');
  const other = await connect({ servers: server.url });
  const second = await join(other, balancer);
  assert.is.not(second.id, member.id);
  await second.leave();
  await other.close();
  const leaving = member.leave();
  await rejects(join(nc, balancer), 'ERR_POOL_EXISTS');
  await leaving;
  const again = await join(nc, balancer);
  assert.is.not(again.id, member.id);
  await again.leave();
  assert.equal(await stored(), []);
});

test('what it was given wrong is typed, and leaves nothing behind', async () => {
  for (const wrong of [undefined, null, {}, { publish: true, subscribe: true, isClosed: true }])
    await rejects(join(wrong as never, balancer), 'ERR_INVALID_ARG_TYPE');
  for (const wrong of [undefined, null, {}, 'joined', supervisor])
    await rejects(join(nc, wrong as never), 'ERR_INVALID_ARG_TYPE');
  const type = [null, 1, 'x', { name: 'x' }, { service: 1 }, { maxUnfinished: '1' }, { heartbeat: '1000' }];
  for (const wrong of type) await rejects(join(nc, balancer, wrong as never), 'ERR_INVALID_ARG_TYPE');
  const range = [
    { service: '' },
    { service: 'a b' },
    { service: 'a.>' },
    { maxUnfinished: 0 },
    { maxUnfinished: 1.5 },
    { maxUnfinished: 2 ** 31 },
    { heartbeat: 99 },
    { heartbeat: Number.NaN },
    { heartbeat: Number.POSITIVE_INFINITY },
    { heartbeat: 2 ** 30 },
  ];
  for (const wrong of range) await rejects(join(nc, balancer, wrong), 'ERR_OUT_OF_RANGE');
  const draining = await connect({ servers: server.url });
  const drained = draining.drain();
  await rejects(join(draining, balancer), 'ERR_DISCONNECTED');
  await drained;
  assert.equal(await stored(), []);
  await using member = await join(nc, balancer, { service: 'A_b-1', maxUnfinished: 1, heartbeat: 100 });
  assert.is(member.service, 'A_b-1');
  assert.equal(await fleet.call(1), { echo: 1 });
});

test('a pool that was closed, or whose supervisor was, cannot join', async () => {
  const closed = await balance(supervisor, 'closed');
  await closed.close();
  await rejects(join(nc, closed), { code: 'ERR_CLOSED', message: /pool 'closed' has ended/ });
  const own = await start({ replicas: 1 });
  const ended = await balance(own, 'ended');
  await own.close();
  await rejects(join(nc, ended), { code: 'ERR_CLOSED', message: /pool 'ended' has ended/ });
  assert.equal(await stored(), []);
});

test('a pool that is closed while it joins does not stay a member', async () => {
  const short = await balance(supervisor, 'short');
  const { outMsgs } = nc.stats();
  const joining = join(nc, short);
  joining.catch(() => {});
  while (nc.stats().outMsgs === outMsgs) await turn(); // it has begun, and has much to ask the server yet
  await short.close();
  await rejects(joining, { code: 'ERR_CLOSED', message: /pool 'short' has ended/ });
  assert.equal(await stored(), []);
  const unheard = await nc.request(callSubject('short')).catch((error: Error) => error);
  assert.instance(unheard, Error, 'nobody listens for its calls any more');
  await using again = await balance(supervisor, 'short');
  await (await join(nc, again)).leave();
});

test('the close of a pool leaves first', async () => {
  const short = await balance(supervisor, 'leaving');
  const member = await join(nc, short, { heartbeat: 60_000 });
  await until(async () => (await stored()).length === 1, 'the member');
  await short.close();
  await until(async () => (await stored()).length === 0, 'its leaving');
  await member.leave();
});

/** A worker thread that does what fixtures/nats/operations.mjs can. */
class Thread implements AsyncDisposable {
  readonly #worker = new Worker(fixture('nats/thread.mjs'));

  static async start(): Promise<Thread> {
    const thread = new Thread();
    await once(thread.#worker, 'online');
    return thread;
  }

  async ask(message: object): Promise<Told> {
    const answer = once(this.#worker, 'message');
    this.#worker.postMessage({ url: server.url, ...message });
    return (await answer)[0] as Told;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

it.run();
