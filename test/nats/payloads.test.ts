/** What travels over NATS, as what it arrives, and what becomes of what cannot travel or makes no sense. */

import { tracingChannel } from 'node:diagnostics_channel';
import { inspect, isDeepStrictEqual } from 'node:util';
import { connect, createInbox, headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { type Balancer, balance, type CallTrace, type Supervisor } from 'ballermann';
import { type FleetPool, fleetPool, join } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { callSubject, memberSubject } from '#src/nats/subjects.js';
import { callHeaders, decode, encode } from '#src/nats/wire.js';
import { fixture, rejects, start, until } from '../support/helpers.js';
import { isMissing, NatsServer } from '../support/nats.js';

const it = suite('payloads over NATS');
const test = isMissing ? it.skip : it;

const MAX_PAYLOAD = 16_384;

let server: NatsServer;
/** By its serialization. */
const supervisors: Partial<Record<'json' | 'advanced', Supervisor>> = {};
let nc: NatsConnection;
/** As of another machine. */
let far: NatsConnection;
let pools = 0;

it.before(async () => {
  if (isMissing) return;
  server = await NatsServer.start({ maxPayload: MAX_PAYLOAD });
  const exec = fixture('nats/answers.mjs');
  await Promise.all(
    (['json', 'advanced'] as const).map(async (serialization) => {
      supervisors[serialization] = await start({ exec, replicas: 1, serialization, name: serialization });
    }),
  );
  nc = await connect({ servers: server.url });
  far = await connect({ servers: server.url });
});

it.after(async () => {
  await nc?.close();
  await far?.close();
  await Promise.all(Object.values(supervisors).map((supervisor) => supervisor.close()));
  await server?.[Symbol.asyncDispose]();
});

interface Made extends AsyncDisposable {
  readonly balancer: Balancer;
  readonly fleet: FleetPool;
}

/** A pool of its own that has joined, and whoever calls it from afar. */
async function joined(serialization: 'json' | 'advanced'): Promise<Made> {
  const balancer = await balance(supervisors[serialization] as Supervisor, `payloads ${++pools}`);
  const member = await join(nc, balancer);
  const fleet = fleetPool(far, balancer.name);
  return {
    balancer,
    fleet,
    async [Symbol.asyncDispose]() {
      fleet.close();
      await member.leave();
      await balancer.close();
    },
  };
}

/** Values that JSON has not, with how the replica sees them. */
function rich(): object {
  const value: Record<string, unknown> = {
    map: new Map<unknown, unknown>([[1, new Set(['a'])]]),
    date: new Date(1e12),
    big: 12345678901234567890n,
    bytes: new Uint8Array([1, 2, 3]),
    floats: new Float64Array([1.5, Number.NaN]),
    buffer: new ArrayBuffer(3),
    pattern: /a+/gi,
    nothing: undefined,
    negative: -0,
    error: new RangeError('no'),
  };
  value['itself'] = value;
  return value;
}

test("'advanced' carries over NATS what it carries on one machine, both ways", async () => {
  await using made = await joined('advanced');
  const { balancer, fleet } = made;
  const value = rich() as { error: Error };
  value.error.stack = 'RangeError: no'; // a replica's has its own frames
  const sent = (await fleet.call(value)) as { echo: Record<string, unknown>; as: string };
  const local = (await balancer.call(value)) as { echo: Record<string, unknown>; as: string };
  assert.is(sent.as, local.as, 'the replica has been given the same');
  const { echo } = sent;
  assert.ok(isDeepStrictEqual(echo, value), inspect(echo));
  assert.is(echo['itself'], echo);
  assert.ok('nothing' in echo && Object.is(echo['negative'], -0));
  assert.is(((await fleet.call(undefined)) as { echo: unknown }).echo, undefined);
  assert.is(await fleet.call({ op: 'nothing' }), undefined);
  assert.is(await fleet.call({ op: 'bigint' }), 1n);
});

test('what one reply is made of belongs to nobody else', async () => {
  await using made = await joined('advanced');
  const { fleet } = made;
  const sent = [1, 2, 3, 4].map((n) => fleet.call(new Uint8Array(64).fill(n)));
  const replies = (await Promise.all(sent)) as { echo: Uint8Array<ArrayBuffer> }[];
  const buffers = replies.map(({ echo }) => echo.buffer);
  assert.is(new Set(buffers).size, 4, 'none shares its memory with another');
  for (const { byteLength } of buffers)
    assert.ok(byteLength < 1_024, `${byteLength} bytes: its own message at most`);
  structuredClone(buffers[0], { transfer: [buffers[0] as ArrayBuffer] });
  assert.equal(
    replies.map(({ echo }) => echo[63]),
    [undefined, 2, 3, 4],
  );
});

test('machines of both serializations serve one fleet, as while all are changed over in turn', async () => {
  const name = `payloads ${++pools}`;
  await using fleet = fleetPool(far, name);
  await using json = await balance(supervisors.json as Supervisor, name);
  const old = await join(nc, json);
  assert.equal(((await fleet.call({ n: 1 })) as { echo: unknown }).echo, { n: 1 });
  await using advanced = await balance(supervisors.advanced as Supervisor, `${name} too`);
  Object.defineProperty(advanced, 'name', { value: name }); // pools of one process differ in their names
  const fresh = await join(far, advanced);
  await until(() => fleet.members().length === 2, 'both members');
  assert.equal(
    fleet
      .members()
      .map(({ serialization }) => serialization)
      .sort(),
    ['advanced', 'json'],
  );
  const before = [json.stats().sent, advanced.stats().sent] as const;
  for (let n = 0; n < 30; n++) {
    const message = { n, list: [n, null, 'ü'] };
    assert.equal(((await fleet.call(message)) as { echo: unknown }).echo, message);
  }
  assert.ok(json.stats().sent > before[0] && advanced.stats().sent > before[1], 'both have served');
  // Each takes what is written for the other.
  const rich = { map: new Map([[1, 2]]), n: 1 };
  const map = await speak(name, fresh, rich, 'advanced');
  assert.equal(map.echo, rich);
  assert.equal((await speak(name, old, rich, 'advanced')).echo, { map: {}, n: 1 });
  assert.equal((await speak(name, fresh, { n: 1 }, 'json')).echo, { n: 1 });
  await old.leave();
  await until(() => fleet.members().length === 1, 'the change to be over');
  await until(async () => {
    const { echo } = (await fleet.call({ map: new Map([[1, 2]]) })) as { echo: { map: unknown } };
    return echo.map instanceof Map;
  }, 'the caller to have noticed');
  await fresh.leave();
});

/** Asks one member in one serialization, whatever the fleet's. */
async function speak(
  pool: string,
  { id }: { readonly id: string },
  message: unknown,
  serialization: 'json' | 'advanced',
): Promise<{ echo: unknown }> {
  const meta = { timeout: 5_000, idempotent: false, serialization, carrier: undefined };
  const head = callHeaders(meta);
  const data = encode(message, serialization);
  const answer = await far.request(memberSubject(pool, id), data, {
    timeout: 5_000,
    ...(head && { headers: head }),
  });
  assert.is(answer.headers, undefined);
  return decode(answer.data, serialization) as { echo: unknown };
}

test('JSON carries what it carries, and says what it cannot', async () => {
  await using made = await joined('json');
  const { fleet } = made;
  const { echo } = (await fleet.call({ date: new Date(0), nothing: undefined, map: new Map([[1, 2]]) })) as {
    echo: unknown;
  };
  assert.equal(echo, { date: '1970-01-01T00:00:00.000Z', map: {} });
  assert.is(await fleet.call({ op: 'nothing' }), undefined);
  assert.is(((await fleet.call(null)) as { echo: unknown }).echo, null);
  assert.is(((await fleet.call('')) as { echo: unknown }).echo, '');
  await rejects(fleet.call(1n), { code: 'ERR_INVALID_ARG_TYPE', message: /serializable/ });
  await rejects(fleet.call(rich()), 'ERR_INVALID_ARG_TYPE');
});

test('a reply that cannot be serialized is ERR_REMOTE, as on one machine', async () => {
  await using made = await joined('json');
  const { balancer, fleet } = made;
  for (const op of ['function', 'bigint', 'circular', 'throwing']) {
    const local = await rejects(balancer.call({ op }), 'ERR_REMOTE');
    const sent = await rejects(fleet.call({ op }), 'ERR_REMOTE');
    assert.is(sent.message, local.message);
  }
  await using advanced = await joined('advanced');
  await rejects(advanced.fleet.call({ op: 'function' }), 'ERR_REMOTE');
  assert.ok(((await advanced.fleet.call({ op: 'circular' })) as { itself: unknown }).itself);
});

test("messages and replies up to the server's limit arrive; larger ones are typed at once", async () => {
  await using made = await joined('json');
  const { balancer, fleet } = made;
  await fleet.ready;
  const most = MAX_PAYLOAD - 1024 - 2; // the headers' part, and the quotes
  const { sent } = balancer.stats();
  const answer = (await fleet.call('m'.repeat(most)).catch((error: Error) => error)) as Error;
  // It arrives; its answer, which has the message twice, does not.
  assert.is((answer as { code?: string }).code, 'ERR_REMOTE');
  assert.is(balancer.stats().sent, sent + 1);
  await rejects(fleet.call('m'.repeat(most + 1)), {
    code: 'ERR_OUT_OF_RANGE',
    message: new RegExp(`at most ${MAX_PAYLOAD - 1024} bytes`),
  });
  await rejects(fleet.call('ü'.repeat(most / 2 + 1)), 'ERR_OUT_OF_RANGE');
  assert.is(balancer.stats().sent, sent + 1, 'nothing was sent');
  const largest = (await fleet.call({ op: 'size', bytes: MAX_PAYLOAD - 2 })) as string;
  assert.is(largest.length, MAX_PAYLOAD - 2);
  await rejects(fleet.call({ op: 'size', bytes: MAX_PAYLOAD - 1 }), {
    code: 'ERR_REMOTE',
    message: /cannot travel.*max_payload/,
  });
  assert.is(await fleet.call({ op: 'nothing' }), undefined, 'the connection is as good as before');
});

test("a caller's trace context reaches the handler in the replica, also one of another NATS client", async () => {
  await using made = await joined('json');
  const { balancer, fleet } = made;
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  let carrier: CallTrace['carrier'];
  const subscriber = (trace: unknown): void => {
    (trace as CallTrace).carrier = carrier;
  };
  const { start: started } = tracingChannel<unknown, CallTrace>('ballermann:call');
  const handled = async (given: CallTrace['carrier']) => {
    carrier = given;
    return fleet.call({ op: 'trace' });
  };
  started.subscribe(subscriber);
  try {
    const whole = { traceparent, tracestate: 'vendor=value, other=value'.padEnd(512, '-') };
    assert.equal(await handled(whole), { kind: 'call', carrier: whole });
    const withoutState = { kind: 'call', carrier: { traceparent, tracestate: '' } };
    assert.equal(await handled({ traceparent }), withoutState);
    for (const tracestate of ['ü'.repeat(512), 'a=1\r\nBallermann-Idempotent: 1', '\0'])
      assert.equal(await handled({ traceparent, tracestate }), withoutState, 'no header can have it');
    assert.equal(await handled({ traceparent: 'no' }), { kind: 'call' });
    assert.equal(await handled(undefined), { kind: 'call' });
  } finally {
    started.unsubscribe(subscriber);
  }
  const foreign = headers();
  foreign.set('traceparent', traceparent);
  const answer = await far.request(callSubject(balancer.name), '{"op":"trace"}', {
    headers: foreign,
    timeout: 5_000,
  });
  assert.equal(answer.json(), { kind: 'call', carrier: { traceparent, tracestate: '' } });
});

test('what a stranger sends to the subject of calls is answered with an error, or with nothing, and hurts nobody', async () => {
  await using made = await joined('json');
  const { balancer, fleet } = made;
  const subject = callSubject(balancer.name);
  const advanced = headers();
  advanced.set('Ballermann-Serialization', 'advanced');
  const odd = headers();
  odd.set('Ballermann-Timeout', '-1e999');
  odd.set('Ballermann-Idempotent', 'perhaps');
  odd.set('Ballermann-Serialization', 'xml');
  odd.set('traceparent', 'no');
  const code = ({ headers }: Msg) => headers?.get('Nats-Service-Error-Code');
  for (const body of ['{"a":', 'undefined', '\u0000\u00ff', '[1]]']) {
    const answer = await far.request(subject, body);
    assert.is(code(answer), '500', body);
    assert.match(answer.json<{ name: string }>().name, 'SyntaxError');
  }
  for (const body of [[0xff], [0xff, 15, 0x5c, 200], [0xff, 15, 0x41, 0xff, 0xff, 0xff, 0x7f], [1, 2, 3]])
    assert.is(
      code(await far.request(subject, new Uint8Array(body), { headers: advanced, timeout: 5_000 })),
      '500',
    );
  const plain = await far.request(subject, '1', { headers: odd, timeout: 5_000 });
  assert.is(plain.json<{ echo: number }>().echo, 1);
  const { sent } = balancer.stats();
  far.publish(subject, '1'); // nobody could be answered
  for (const body of ['', 'x', '{}', '{"n":1}', '{"n":1,"ids":[null]}', '{"n":1,"ids":7}', 'null'])
    for (const kind of ['ask', 'cancel'])
      far.publish(subject.replace('.call.', `.${kind}.`), body, { reply: createInbox() });
  assert.ok(await fleet.call(2));
  assert.is(balancer.stats().sent, sent + 1);
});

test('a stranger that answers a call with what makes no sense: it is ERR_PROTOCOL, once', async () => {
  const name = `payloads ${++pools}`;
  await using fleet = fleetPool(far, name);
  const failing = headers();
  failing.set('Nats-Service-Error-Code', '500');
  failing.set('Nats-Service-Error', 'no');
  let answer: (message: Msg) => void = () => {};
  const subscription = nc.subscribe(callSubject(name), { callback: (_, message) => answer(message) });
  await nc.flush();
  answer = (message) => {
    message.respond('{');
    message.respond('1');
  };
  await rejects(fleet.call(1), { code: 'ERR_PROTOCOL', message: /cannot be decoded/ });
  answer = (message) => message.respond('{', { headers: failing });
  await rejects(fleet.call(1), { code: 'ERR_PROTOCOL', message: /an error that cannot be read: no/ });
  answer = (message) => message.respond('null', { headers: failing });
  await rejects(fleet.call(1), 'ERR_PROTOCOL');
  subscription.unsubscribe();
});

it.run();
