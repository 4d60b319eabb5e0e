/** Calls over NATS: to a member of the fleet, to another one while it is refused, settled once whatever happens. */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type Balancer, balance, type Supervisor } from 'ballermann';
import { type FleetPool, fleetPool, join } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deferred } from '#src/deferred.js';
import { announce, type MemberState } from '#src/nats/presence.js';
import { askSubject, callSubject, memberSubject, QUEUE } from '#src/nats/subjects.js';
import { calls } from '#src/tracing.js';
import { rejects, start, times, until } from '../support/helpers.js';
import { isMissing, NatsServer } from '../support/nats.js';
import { later } from '../support/processes.js';

const it = suite('calls over NATS');
const test = isMissing ? it.skip : it;

let server: NatsServer;
let supervisor: Supervisor;
let nc: NatsConnection;
/** As of another machine. */
let far: NatsConnection;
let pools = 0;

it.before(async () => {
  if (isMissing) return;
  server = await NatsServer.start();
  supervisor = await start();
  nc = await connect({ servers: server.url });
  far = await connect({ servers: server.url });
});

it.after(async () => {
  await nc?.close();
  await far?.close();
  await supervisor?.close();
  await server?.[Symbol.asyncDispose]();
});

/** A pool of its own, and whoever calls it from afar. */
async function pool(
  options?: Parameters<typeof balance>[2],
): Promise<{ balancer: Balancer; fleet: FleetPool } & AsyncDisposable> {
  const balancer = await balance(supervisor, `pool ${++pools}.>*`, options); // a name that no subject could have
  const fleet = fleetPool(far, balancer.name);
  return {
    balancer,
    fleet,
    async [Symbol.asyncDispose]() {
      fleet.close();
      await balancer.close();
    },
  };
}

const STATE: MemberState = {
  alive: 1,
  original: 1,
  paused: false,
  unfinished: 0,
  host: 'elsewhere',
  pid: 1,
  serialization: 'json',
};

/** Takes its share of the calls, and answers none. @returns how many it has. */
async function swallow(nc: NatsConnection, name: string): Promise<() => number> {
  let swallowed = 0;
  nc.subscribe(callSubject(name), {
    queue: QUEUE,
    callback: () => {
      swallowed++;
    },
  });
  await nc.flush();
  return () => swallowed;
}

test('a call reaches a replica of a member, and its errors come back as they are', async () => {
  await using made = await pool();
  const { balancer, fleet } = made;
  await using member = await join(nc, balancer);
  const reply = (await fleet.call({ a: [1, 'ü'] })) as { echo: unknown; pid: number };
  assert.equal(reply.echo, { a: [1, 'ü'] });
  assert.ok(balancer.pids().includes(reply.pid));
  assert.equal(((await fleet.call(undefined)) as { echo: unknown }).echo, undefined);
  assert.equal(
    await fleet.call({ op: 'spin', ms: 0 }, { idempotent: true, timeout: 2_000 }).then(Number.isInteger),
    true,
  );
  const pids = new Set(await Promise.all(times(8, () => fleet.call({ op: 'sleep', ms: 1 }))));
  assert.is(pids.size, 2, 'the member hands the calls to its replicas in turn');
  const failure = await rejects(fleet.call({ op: 'throw', message: 'no', code: 'EX' }), 'ERR_REMOTE');
  assert.is((failure.cause as Error).message, 'no');
  assert.is((failure.cause as { code?: string }).code, 'EX');
  await until(() => fleet.members().length === 1, 'the member');
  assert.is(fleet.members()[0]?.id, member.id);
});

test('arguments are checked before anything is sent', async () => {
  await using made = await pool();
  const { balancer, fleet } = made;
  await using member = await join(nc, balancer);
  const sent = far.stats().outMsgs;
  await fleet.ready;
  const before = far.stats().outMsgs;
  assert.ok(before >= sent && member.id.length > 0);
  await rejects(
    fleet.call(() => {}),
    'ERR_INVALID_ARG_TYPE',
  );
  await rejects(fleet.call(Promise.resolve()), 'ERR_INVALID_ARG_TYPE');
  await rejects(fleet.call(1, { timeout: -1 }), 'ERR_OUT_OF_RANGE');
  await rejects(fleet.call(1, { wait: 1 } as never), 'ERR_INVALID_ARG_TYPE');
  await rejects(fleet.call('x'.repeat(1024 * 1024)), {
    code: 'ERR_OUT_OF_RANGE',
    message: /the server takes no more/,
  });
  assert.is(far.stats().outMsgs, before);
  await rejects(join(nc, balancer), 'ERR_POOL_EXISTS');
  await rejects(join({} as never, balancer), 'ERR_INVALID_ARG_TYPE');
  await rejects(join(nc, {} as never), 'ERR_INVALID_ARG_TYPE');
  await rejects(join(far, balancer, { service: 'a.b' }), 'ERR_OUT_OF_RANGE');
  await rejects(join(far, balancer, { maxUnfinished: 0 }), 'ERR_OUT_OF_RANGE');
  await rejects(join(far, balancer, { heartbeat: 0 }), 'ERR_OUT_OF_RANGE');
  assert.throws(() => fleetPool(far, ''), /1 to 120 bytes/);
  const closed = await connect({ servers: server.url });
  const late = fleetPool(closed, balancer.name);
  await late.ready;
  await closed.close();
  await rejects(late.call(1), 'ERR_DISCONNECTED');
  await rejects(join(closed, balancer), 'ERR_DISCONNECTED');
});

test('a pool that no machine serves is ERR_DISCONNECTED at once', async () => {
  await using fleet = fleetPool(far, `nobody ${randomUUID()}`);
  await fleet.ready;
  const began = performance.now();
  await rejects(fleet.call(1), { code: 'ERR_DISCONNECTED', message: /no machine serves it/ });
  assert.ok(performance.now() - began < 2_000);
});

test('a member that refuses has not begun, and another one is given the call', async () => {
  await using made = await pool();
  const { balancer, fleet } = made;
  await using full = await join(nc, balancer, { maxUnfinished: 1 });
  await using other = await join(far, balancer, { maxUnfinished: 1 });
  await until(() => fleet.members().length === 2, 'two members');
  const ending = new AbortController();
  const hanging = times(2, () =>
    later(fleet.call({ op: 'hang' }, { signal: ending.signal, timeout: 20_000 })),
  );
  await until(() => balancer.stats().sent === 2, 'both members to have one each');
  const refused = await rejects(fleet.call(1, { timeout: 1_000 }), {
    code: 'ERR_OVERLOAD',
    message: /every machine has refused/,
  });
  assert.instance(refused.cause, Error);
  const patient = later(fleet.call('later', { timeout: 10_000 }));
  ending.abort(new Error('gone'));
  for (const one of hanging) assert.is(((await one.catch((error: Error) => error)) as Error).message, 'gone');
  assert.is(((await patient) as { echo: unknown }).echo, 'later', 'the aborted calls have made room');
  assert.ok(full.id !== other.id);
});

test('a call waits while every machine is paused, up to its time limit', async () => {
  await using made = await pool();
  const { balancer, fleet } = made;
  await using member = await join(nc, balancer);
  await fleet.ready;
  const inside = deferred();
  await using open = { [Symbol.asyncDispose]: async () => inside.resolve() }; // also where something fails here
  const window = later(balancer.applyWithin(() => inside.promise));
  await rejects(fleet.call(1, { timeout: 1_000 }), {
    code: 'ERR_TIMEOUT',
    message: /a maintenance window held it/,
  });
  const { sent } = balancer.stats();
  const waiting = later(fleet.call('after'));
  await sleep(50);
  assert.is(balancer.stats().sent, sent);
  await open[Symbol.asyncDispose]();
  await window;
  assert.is(((await waiting) as { echo: unknown }).echo, 'after');
  assert.ok(member.id);
});

test('aborting a call aborts its handler on the other machine', async () => {
  await using made = await pool();
  const { balancer, fleet } = made;
  await using member = await join(nc, balancer, { maxUnfinished: 1 });
  const ending = new AbortController();
  const call = fleet.call({ op: 'hang' }, { signal: ending.signal, timeout: 60_000 });
  await until(() => balancer.stats().sent === 1, 'the call to be there');
  ending.abort(new Error('enough'));
  assert.is(((await call.catch((error: Error) => error)) as Error).message, 'enough');
  assert.ok(await fleet.call(1), 'the member has room again');
  await rejects(fleet.call({ op: 'hang' }, { timeout: 60 }), 'ERR_TIMEOUT');
  assert.ok(await fleet.call(1));
  assert.ok(member.id);
});

test('a call that no member has is lost: again where it may run twice, ERR_REPLICA_DIED where not', async () => {
  const name = `lost ${randomUUID()}`;
  await using fleet = fleetPool(far, name);
  const raw = await connect({ servers: server.url });
  const presence = await announce(raw, name, undefined, () => STATE);
  let swallowed = 0;
  let answers = false;
  const take = (message: { respond(data: string): boolean }): void => {
    if (answers) message.respond('"at last"');
    else swallowed++;
  };
  raw.subscribe(callSubject(name), { queue: QUEUE, callback: (_, message) => take(message) });
  raw.subscribe(memberSubject(name, presence.id), { callback: (_, message) => take(message) });
  raw.subscribe(askSubject(name, presence.id), {
    callback(_, message) {
      assert.is(message.json<string[]>().length, 2);
      answers = true;
      message.respond(JSON.stringify([]));
    },
  });
  await raw.flush();
  try {
    const once = fleet.call(1, { timeout: 20_000 });
    const twice = fleet.call(2, { timeout: 20_000, idempotent: true });
    await rejects(once, { code: 'ERR_REPLICA_DIED', message: /was lost/ });
    assert.is(await twice, 'at last');
    assert.is(swallowed, 2);
  } finally {
    await presence.leave();
    await raw.close();
  }
});

test('a machine that is gone: what may run twice goes to another at once, the rest is lost when its heartbeat lapses', async () => {
  await using made = await pool();
  const { balancer, fleet } = made;
  const raw = await connect({ servers: server.url });
  await announce(raw, balancer.name, undefined, () => STATE, { heartbeat: 1_000 });
  const swallowed = await swallow(raw, balancer.name);
  const once = later(fleet.call(1, { timeout: 20_000 }));
  const twice = later(fleet.call(2, { timeout: 20_000, idempotent: true }));
  await until(() => swallowed() === 2, 'both calls to be there');
  await using member = await join(nc, balancer);
  await raw.close();
  assert.is(((await twice) as { echo: number }).echo, 2);
  assert.is(fleet.members().length, 2, `its heartbeat has not lapsed, and ${member.id} is there`);
  let ended = false;
  void once.catch(() => {
    ended = true;
  });
  await until(() => fleet.members().length === 1 || ended, 'the lapse');
  await new Promise(setImmediate);
  assert.ok(ended, 'it is known to be lost with the heartbeat');
  await rejects(once, { code: 'ERR_REPLICA_DIED', message: /was lost/ });
  assert.is(fleet.members().length, 1);
  assert.is(balancer.stats().sent, 1);
});

test('a machine that hangs: once its heartbeat has lapsed it is sent nothing', async () => {
  await using made = await pool();
  const { balancer, fleet } = made;
  const heart = await connect({ servers: server.url });
  const hangs = await connect({ servers: server.url }); // the server cannot see that
  await announce(heart, balancer.name, undefined, () => STATE, { heartbeat: 100 });
  const swallowed = await swallow(hangs, balancer.name);
  await using member = await join(nc, balancer);
  await until(() => fleet.members().length === 2, 'both members');
  await heart.close();
  await until(() => fleet.members().length === 1, `the lapse of all but ${member.id}`);
  await Promise.all(times(100, () => fleet.call(1)));
  assert.is(swallowed(), 0);
  await hangs.close();
});

test('every one of many calls is answered, whatever its number', async () => {
  const name = `many ${randomUUID()}`;
  await using fleet = fleetPool(far, name);
  const raw = await connect({ servers: server.url });
  const reply = (_: unknown, message: { respond(data: Uint8Array): boolean; data: Uint8Array }): void => {
    message.respond(message.data);
  };
  raw.subscribe(callSubject(name), { queue: QUEUE, callback: reply });
  await raw.flush();
  try {
    let next = 0;
    const caller = async (): Promise<void> => {
      for (let n = next++; n < 20_000; n = next++) assert.is(await fleet.call(n, { timeout: 1_900 }), n);
    };
    await Promise.all(times(64, caller));
  } finally {
    await raw.close();
  }
});

test('a slow handler is no lost call', async () => {
  await using made = await pool();
  const { balancer, fleet } = made;
  await using member = await join(nc, balancer);
  assert.type(await fleet.call({ op: 'sleep', ms: 3_000 }, { timeout: 20_000 }), 'number');
  assert.is(balancer.stats().sent, 1);
  assert.ok(member.id);
});

test('leaving answers what has begun, and sends the rest to others', async () => {
  await using made = await pool();
  const { balancer, fleet } = made;
  const first = await join(nc, balancer);
  await using second = await join(far, balancer);
  await until(() => fleet.members().length === 2, 'two members');
  const replies = times(200, () => fleet.call({ op: 'sleep', ms: 100 }));
  await until(() => balancer.stats().sent >= 100, 'calls to have begun');
  let more: Promise<unknown>[] = [];
  const stop = setInterval(() => {
    more = more.concat(times(5, () => fleet.call({ op: 'sleep', ms: 5 })));
  }, 1);
  await first.leave();
  await sleep(20);
  clearInterval(stop);
  await Promise.all([...replies, ...more]);
  await until(() => fleet.members().length === 1, 'one to be gone');
  assert.is(fleet.members()[0]?.id, second.id);
  await first.leave();
});

test('the close of a supervisor answers what has begun before it resolves', async () => {
  const own = await start({ replicas: 1 });
  const balancer = await balance(own, `closing ${++pools}`);
  const leaving = await connect({ servers: server.url });
  await using fleet = fleetPool(far, balancer.name);
  await join(leaving, balancer);
  const reply = fleet.call({ op: 'sleep', ms: 200 });
  await until(() => balancer.stats().sent === 1, 'the call to have begun');
  await own.close();
  await leaving.close();
  assert.type(await reply, 'number');
  await until(() => fleet.members().length === 0, 'the member to be gone');
  await rejects(fleet.call(1), 'ERR_DISCONNECTED');
});

test('a trace context travels with the call, and the call is traced where it is made', async () => {
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const name = `traced ${randomUUID()}`;
  await using fleet = fleetPool(far, name);
  const raw = await connect({ servers: server.url });
  const subscription = raw.subscribe(callSubject(name), { queue: QUEUE });
  await raw.flush();
  const heard: object[] = [];
  const subscribers = {
    start(trace: object) {
      heard.push(trace);
      Object.assign(trace, { carrier: { traceparent, tracestate: 'v=1' } });
    },
    end() {},
    asyncStart() {},
    asyncEnd() {},
    error() {},
  };
  calls.subscribe(subscribers as never);
  try {
    const reply = fleet.call(1);
    for await (const message of subscription) {
      assert.is(message.headers?.get('traceparent'), traceparent);
      assert.is(message.headers?.get('tracestate'), 'v=1');
      message.respond('2');
      break;
    }
    assert.is(await reply, 2);
    assert.is((heard[0] as { pool?: string }).pool, name);
  } finally {
    calls.unsubscribe(subscribers as never);
    await raw.close();
  }
});

test('a member answers as a micro service does', async () => {
  await using made = await pool();
  const { balancer, fleet } = made;
  await using member = await join(nc, balancer, { service: 'resizers' });
  await fleet.call(1);
  const ask = async (subject: string) => (await far.request(subject)).json<Record<string, unknown>>();
  const identity = { name: 'resizers', id: member.id, metadata: { 'ballermann.pool': balancer.name } };
  const ping = await ask('$SRV.PING.resizers');
  assert.equal(
    { ...ping, version: undefined },
    { type: 'io.nats.micro.v1.ping_response', ...identity, version: undefined },
  );
  assert.match(String(ping['version']), /^\d+\.\d+\.\d+/);
  const info = await ask(`$SRV.INFO.resizers.${member.id}`);
  assert.is(info['type'], 'io.nats.micro.v1.info_response');
  assert.is((info['endpoints'] as { subject: string }[])[0]?.subject, callSubject(balancer.name));
  const stats = await ask('$SRV.STATS');
  assert.is(stats['type'], 'io.nats.micro.v1.stats_response');
  assert.is((stats['endpoints'] as { num_requests: number }[])[0]?.num_requests, 1);
});

test('a server without JetStream is ERR_DISCONNECTED that says what to do, and once it has it all goes on', async () => {
  await using plain = await NatsServer.start({ jetstream: false });
  await using made = await pool();
  const lonely = await connect({ servers: plain.url, reconnectTimeWait: 20, maxReconnectAttempts: -1 });
  await using fleet = fleetPool(lonely, made.balancer.name);
  await rejects(fleet.call(1), { code: 'ERR_DISCONNECTED', message: /-js/ });
  await rejects(join(lonely, made.balancer), { code: 'ERR_DISCONNECTED', message: /-js/ });
  await plain.restart({ jetstream: true });
  const member = await join(lonely, made.balancer);
  assert.is(((await fleet.call(1)) as { echo: number }).echo, 1);
  await fleet.applyWithin(() => {});
  await member.leave();
  await lonely.close();
});

it.run();
