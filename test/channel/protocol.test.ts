/** What passes between the processes: its checks and codecs alone, and a real replica that does not keep to them. */

import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import { type Balancer, BallermannError, balance, call, ping, type Supervisor } from 'ballermann';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { codecs } from '#src/channel/codec.js';
import {
  eachOf,
  entryOf,
  isToPrimary,
  isToReplica,
  join,
  type ToReplica,
  tracedEntryOf,
  unpack,
} from '#src/channel/protocol.js';
import { fromErrorData, toErrorData } from '#src/errors.js';
import { addon } from '#src/memory/addon.js';
import { tapped } from '../support/forging.js';
import { pidAt, upPids } from '../support/gate.js';
import { downOf, fixture, rejects, start, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

type Fits = (value: unknown) => boolean;

/** The protocol told a second time, as plainly as can be: what the checks of the source are held against. */
const isId: Fits = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isText: Fits = (value) => typeof value === 'string';
const isError: Fits = (value) => {
  const { name, message, cause } = Object(value);
  return isText(name) && isText(message) && (cause === undefined || isError(cause));
};
const isHex =
  (length: number): Fits =>
  (value) =>
    isText(value) && (value as string).length === length && /^[0-9a-f]*$/.test(value as string);
const isTraceparent: Fits = (value) => {
  if (!isText(value)) return false;
  const [version, trace, span, flags, ...more] = (value as string).split('-');
  const isSome = !/^0*$/.test(trace ?? '') && !/^0*$/.test(span ?? '');
  return (
    version === '00' && isSome && isHex(32)(trace) && isHex(16)(span) && isHex(2)(flags) && more.length === 0
  );
};
const isTracestate: Fits = (value) => isText(value) && (value as string).length <= 512;
const isHandled: Fits = (value) => value === 'call' || value === 'cast';
const request: Fits[] = [
  isId,
  (kind) => isHandled(kind) || kind === 'ping',
  (target) => isText(target) || isId(target),
  (timeout) => Number(timeout) >= 0 && Number(timeout) < 2 ** 31,
  (idempotent) => idempotent === true || idempotent === false,
];
const toReplica: Record<string, Fits[]> = {
  call: [isId],
  cast: [isId],
  traced: [isId, isHandled, isTraceparent, isTracestate],
  ping: [isId],
  cancel: [isId],
  probe: [],
  resumed: [],
  stop: [isText],
  result: [isId],
  failure: [isId, isError],
};
const toPrimary: Record<string, Fits[]> = {
  hello: [isId],
  ready: [],
  alive: [],
  crash: [isError],
  leave: [isText],
  result: [isId],
  failure: [isId, isError],
  request,
  tracedRequest: [...request, isTraceparent, isTracestate],
  cancel: [isId],
};

/** How many payloads, of any kind, may follow. */
const payloads = (tag: string): number =>
  ({ call: 9, cast: 9, result: 9, traced: 1, request: 1, tracedRequest: 1 })[tag] ?? 0;

const id = fc.maxSafeNat();
const text = fc.string();
const payload = fc.oneof(fc.jsonValue(), fc.uint8Array());
/** The same entry with and without a payload. */
const payloadMayFollow = (entry: fc.Arbitrary<unknown[]>): fc.Arbitrary<unknown[]> =>
  fc.oneof(
    entry,
    fc.tuple(entry, payload).map(([fields, value]) => [...fields, value]),
  );
const { error } = fc.letrec<{ error: unknown }>((tie) => ({
  error: fc.record(
    {
      name: text,
      message: text,
      stack: text,
      code: text,
      pid: id,
      exitCode: fc.nat(255),
      signal: text,
      cause: fc.oneof({ maxDepth: 2, withCrossShrink: true }, fc.constant(undefined), tie('error')),
    },
    { requiredKeys: ['name', 'message'] },
  ),
}));
const kind = fc.constantFrom('call', 'cast', 'ping');
const timeout = fc.double({ min: 0, max: 2 ** 31 - 1, noNaN: true });

const runOf = (...tags: string[]): fc.Arbitrary<unknown[]> =>
  fc
    .tuple(fc.constantFrom(...tags), id, fc.array(payload, { maxLength: 9 }))
    .map(([tag, first, values]) => [tag, first, ...values]);

/** Of that many hexadecimal digits, not all zero. */
const hex = (digits: number): fc.Arbitrary<string> =>
  fc
    .string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: digits - 1, maxLength: digits - 1 })
    .map((rest) => `${rest}1`);
const traceparent = fc.tuple(hex(32), hex(16), hex(2)).map((parts) => ['00', ...parts].join('-'));
const context = [traceparent, fc.string({ maxLength: 512 })] as const;
const requestFields = [id, kind, fc.oneof(text, id), timeout, fc.boolean()] as const;

const entriesToReplica = fc.oneof(
  runOf('call', 'cast', 'result'),
  payloadMayFollow(fc.tuple(fc.constant('traced'), id, fc.constantFrom('call', 'cast'), ...context)),
  fc.tuple(fc.constantFrom('ping', 'cancel'), id),
  fc.constant(['probe']),
  fc.tuple(fc.constant('stop'), text),
  fc.tuple(fc.constant('resumed')),
  fc.tuple(fc.constant('failure'), id, error),
);
const entriesToPrimary = fc.oneof(
  fc.tuple(fc.constantFrom('hello', 'cancel'), id),
  fc.constantFrom(['ready'], ['alive']),
  fc.tuple(fc.constant('crash'), error),
  fc.tuple(fc.constant('leave'), text),
  runOf('result'),
  fc.tuple(fc.constant('failure'), id, error),
  payloadMayFollow(fc.tuple(fc.constant('request'), ...requestFields)),
  payloadMayFollow(fc.tuple(fc.constant('tracedRequest'), ...requestFields, ...context)),
);

const directions = [
  { name: 'to the primary', fits: isToPrimary as Fits, shapes: toPrimary, valid: entriesToPrimary },
  { name: 'to a replica', fits: isToReplica as Fits, shapes: toReplica, valid: entriesToReplica },
];

/** A value that fits no place of any entry. */
const misfit = fc.constantFrom<unknown[]>(null, -1, [], undefined, Number.NaN, Symbol('s'), () => {}, {});

for (const { name, fits, shapes, valid } of directions) {
  test(`every entry ${name} of the protocol's shape fits`, () => {
    fc.assert(fc.property(valid, (entry) => fits(entry)));
  });

  test(`what fits an entry ${name} has the protocol's shape, whatever came`, () => {
    const likely = fc
      .tuple(
        fc.constantFrom(...Object.keys(shapes), '__proto__', 'constructor', ''),
        fc.array(fc.jsonValue()),
      )
      .map(([tag, fields]) => [tag, ...fields]);
    const isShaped = (entry: unknown): boolean => {
      if (!Array.isArray(entry) || typeof entry[0] !== 'string') return false;
      const checks = Object.hasOwn(shapes, entry[0]) ? (shapes[entry[0]] as Fits[]) : undefined;
      if (checks === undefined) return false;
      const more = entry.length - 1 - checks.length;
      const isRun = payloads(entry[0]) > 1;
      return (
        more >= 0 && (isRun || more <= payloads(entry[0])) && checks.every((check, i) => check(entry[i + 1]))
      );
    };
    const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true, withSparseArray: true });
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), anything, likely), (value) => !fits(value) || isShaped(value)),
      { numRuns: 1_000 },
    );
  });

  test(`an entry ${name} that is changed in one place is refused`, () => {
    fc.assert(
      fc.property(valid, fc.nat(), misfit, (entry, place, value) => {
        const [tag] = entry as [string];
        const fields = (shapes[tag] as Fits[]).length + 1;
        const changed = [...entry];
        changed[place % fields] = value;
        assert.not(fits(changed), `place ${place % fields}`);
        const longest = fields + payloads(tag);
        const padding = Array(longest - entry.length).fill(null);
        if (payloads(tag) <= 1) assert.not(fits([...entry, ...padding, value]), 'one field more');
        assert.not(fits(entry.slice(0, fields - 1)), 'one field less');
        assert.not(fits({ ...entry, length: entry.length }), 'no array');
      }),
    );
  });

  test(`the depth of an error ${name} does no harm`, () => {
    const tag = 'failure';
    let deep: object = { name: 'Error', message: 'the innermost' };
    for (let i = 0; i < 100_000; i++) deep = { name: 'Error', message: 'one more', cause: deep };
    const circular: { name: string; message: string; cause?: object } = {
      name: 'Error',
      message: 'circular',
    };
    circular.cause = circular;
    for (const data of [deep, circular]) assert.type(fits([tag, 1, data]), 'boolean');
  });
}

test('what does not fit in a batch is counted and the rest is taken', () => {
  const taken: unknown[] = [];
  const take = (entry: unknown): void => void taken.push(entry);
  for (const batch of [undefined, null, 'ping', { 0: ['ping', 1], length: 1 }])
    assert.is(unpack(batch, isToReplica, take), 1);
  assert.is(unpack([], isToReplica, take), 0);
  assert.equal(taken, []);
  assert.is(unpack([['ping', 1], ['pong', 2], null, ['ping', 3]], isToReplica, take), 2);
  assert.equal(taken, [
    ['ping', 1],
    ['ping', 3],
  ]);
});

test('messages are joined to runs where their ids follow one another, and come out as they went in', () => {
  const message = fc.record({
    tag: fc.constantFrom('call' as const, 'cast' as const, 'result' as const),
    id: fc.nat(5),
    payload: fc.option(fc.jsonValue(), { nil: undefined }),
  });
  const gaps = fc.array(message, { maxLength: 30 });
  const consecutive = gaps.map((messages) => messages.map((each, i) => ({ ...each, id: i })));
  fc.assert(
    fc.property(fc.oneof(gaps, consecutive), fc.boolean(), (messages, pings) => {
      const batch: ToReplica[] = [];
      const add = (entry: ToReplica): void => {
        const last = batch.at(-1);
        if (last === undefined || !join(last, entry)) batch.push(entry);
      };
      for (const { tag, id, payload } of messages) {
        add(entryOf(tag, id, payload));
        if (pings) add(['ping', id]);
      }
      const out: unknown[] = [];
      unpack(sent(batch), isToReplica, (entry) => {
        if (entry[0] === 'call' || entry[0] === 'cast' || entry[0] === 'result')
          eachOf<string>(entry, (tag, id, payload) => out.push({ tag, id, payload }));
      });
      assert.equal(
        out,
        messages.map(({ tag, id, payload }) => ({
          tag,
          id,
          payload: payload === undefined ? undefined : sent(payload),
        })),
      );
    }),
  );
  const calls = [0, 1, 2, 3].map((id) => entryOf('call', id, id));
  const [first, ...others] = calls;
  assert.ok(others.every((other) => join(first as ToReplica, other)));
  assert.equal(first, ['call', 0, 0, 1, 2, 3]);
  assert.not(join(first as ToReplica, ['call', 5, 5]), 'a gap');
  assert.not(join(first as ToReplica, ['cast', 4, 4]), 'another tag');
  assert.not(join(first as ToReplica, ['call', 4]), 'without a payload');
  const traceparent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`;
  const traced = tracedEntryOf('call', 4, { traceparent }, 4);
  assert.equal(traced, ['traced', 4, 'call', traceparent, '', 4]);
  assert.not(join(first as ToReplica, traced), 'with a trace context');
  assert.not(join(traced, ['call', 5, 5]), 'after one with a trace context');
  assert.not(join(traced, tracedEntryOf('call', 5, { traceparent }, 5)), 'two with a trace context');
});

/** As it looks when it has been sent as JSON. */
function sent(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

test('every error becomes data that fits the protocol, and comes back with its name, message and code', () => {
  fc.assert(
    fc.property(text, text, fc.option(text), fc.option(text), (name, message, code, cause) => {
      const error = new Error(message, cause === null ? undefined : { cause: new TypeError(cause) });
      Object.defineProperty(error, 'name', { value: name });
      if (code !== null) Object.assign(error, { code });
      const data = sent(toErrorData(error));
      assert.ok(isToPrimary(['failure', 1, data]));
      const back = fromErrorData(data as ReturnType<typeof toErrorData>) as Error & { code?: string };
      assert.instance(back, Error);
      assert.is(back.name, name);
      assert.is(back.message, message);
      assert.is(back.stack, error.stack);
      assert.is(back.code, code ?? undefined);
      assert.is((back.cause as Error | undefined)?.message, cause ?? undefined);
    }),
  );
});

test('toErrorData never throws, and what it gives fits the protocol, whatever was thrown', () => {
  const fail = (): never => {
    throw new Error('hostile');
  };
  const everyTrap = Object.fromEntries(
    Reflect.ownKeys(Reflect)
      .filter((key) => typeof key === 'string')
      .map((key) => [key, fail]),
  );
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const self = new Error('its own cause');
  self.cause = self;
  const field = (name: string, value: unknown): Error =>
    Object.defineProperty(new Error('e'), name, { value });
  const getter = (name: string): Error => Object.defineProperty(new Error('e'), name, { get: fail });
  const hostile = [
    new Proxy(new Error(), everyTrap),
    new Proxy({}, everyTrap),
    new Proxy(() => {}, everyTrap),
    revoked.proxy,
    self,
    ...['name', 'message', 'stack', 'code', 'cause'].map(getter),
    ...['name', 'message', 'stack', 'code', 'cause'].map((name) => field(name, { toString: fail })),
    ...['name', 'message', 'stack', 'code', 'cause'].map((name) => field(name, Symbol('s'))),
    ...['name', 'message', 'stack', 'code', 'cause'].map((name) => field(name, null)),
    field('message', 'x'.repeat(10_000_000)),
    { [Symbol.for('nodejs.util.inspect.custom')]: fail },
    Object.create(Error.prototype),
    Object.create(null),
    new AggregateError([1, 2], 'many'),
    // The class is exported, so a handler can throw one with any fields.
    ...[-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60].map(
      (number) => new BallermannError('ERR_CLOSED', 'made up', { pid: number, exitCode: number }),
    ),
    new BallermannError('ERR_CLOSED', 'made up', { signal: 9 as never, pid: '1' as never }),
  ];
  const check = (thrown: unknown): void => {
    const data = toErrorData(thrown);
    assert.ok(isToPrimary(['failure', 1, data]), `as it is: ${JSON.stringify(data).slice(0, 200)}`);
    assert.ok(isToPrimary(['failure', 1, sent(data)]), `as JSON: ${JSON.stringify(data).slice(0, 200)}`);
    assert.ok(JSON.stringify(data).length < 1_000_000);
  };
  for (const thrown of hostile) check(thrown);
  fc.assert(fc.property(fc.anything({ withBigInt: true, withMap: true, withNullPrototype: true }), check));
});

test('a payload decodes to what was encoded', () => {
  const { json, advanced } = codecs;
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.equal(json.decode(sent(json.encode(value).value)), sent(value));
    }),
  );
  const cloneable = fc
    .anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true })
    .filter((value) => isDeepStrictEqual(structuredClone(value), value)); // no invalid date equals another
  fc.assert(
    fc.property(cloneable, (value) =>
      isDeepStrictEqual(advanced.decode(advanced.encode(value).value), value),
    ),
  );
  for (const { encode, decode } of Object.values(codecs))
    assert.is(decode(encode(undefined).value), undefined);
});

test('as JSON, a message arrives just as JSON.stringify would have it, whatever it is made of', () => {
  const odd = fc.anything({ withDate: true, withMap: true, withNullPrototype: true, withSparseArray: true });
  const { encode, decode } = codecs.json;
  const { serialize, deserialize } = addon();
  const arrives = (value: unknown): void => {
    const payload = encode(value).value;
    assert.equal(decode(sent(payload)), sent(value), 'as text');
    const heavy = decode(deserialize(serialize(payload)));
    assert.ok(isDeepStrictEqual(heavy, sent(value)), 'by the serializer, as what is heavy'); // tells -0, undefined, holes
    assert.is(JSON.stringify(heavy), JSON.stringify(value), 'in the same order');
  };
  fc.assert(
    fc.property(odd, (value) => {
      if (JSON.stringify(value) !== undefined) arrives(value);
    }),
    { numRuns: 1_000 },
  );
  class Own {
    kept = 1;
    get left() {
      return 2;
    }
  }
  const late = { at: new Date(0), nested: [{ toJSON: () => 'asked' }], left: () => {}, out: Symbol('s') };
  const asked = Object.assign(() => {}, { toJSON: () => 'asked' });
  const holes = [1];
  holes[2] = 3;
  const loneSurrogates = { '\ud800': '\udfff', ok: 'é€😀' };
  const twice = { one: [1] };
  const odds = [
    new Own(),
    late,
    [asked],
    asked,
    [() => {}, undefined, Number.NaN, -0],
    { none: undefined, f: () => {}, s: Symbol('s'), inf: -Infinity, zero: -0 },
    Object.create(null),
    Object.assign(Object.create(null), { 2: 'b', 1: 'a', x: 1 }),
    holes,
    Object.assign([1], { own: 1 }),
    loneSurrogates,
    [twice, twice],
    Number.NaN,
    -0,
    null,
    'text',
    new Date(0),
    [new Map([[1, 2]]), /x/, new Error('e'), Object(1), Object('s'), new Uint8Array(2)],
  ];
  for (const value of odds) arrives(value);
  for (const proto of ['{"polluted":1}', '"1"', '"[]"', '{"__proto__":"{}"}'])
    arrives(JSON.parse(`{"__proto__":${proto},"a":1}`));
  arrives(JSON.parse('{"__proto__":"1"}'));
  assert.is(({} as { polluted?: unknown }).polluted, undefined);
});

test('a payload is a copy: later changes of the message do not reach it', () => {
  for (const codec of Object.values(codecs)) {
    const message = { list: [1, { deep: 'before' }], text: 'before' };
    const { value } = codec.encode(message);
    message.text = 'after';
    (message.list[1] as { deep: string }).deep = 'after';
    message.list.push(3);
    assert.equal(codec.decode(value), { list: [1, { deep: 'before' }], text: 'before' });
  }
});

test('the weight of a payload is about the length of its JSON', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ name: fc.string(), list: fc.array(fc.string()) })), (value) => {
      const { length } = JSON.stringify(value).replaceAll(/\\(?:u....|.)/g, 'x');
      const { weight } = codecs.json.encode(value);
      assert.ok(weight >= length / 2 && weight <= 4 * length, `${weight} for ${length}`);
    }),
  );
});

test('what cannot be encoded is a TypeError that says so', () => {
  const circular: { self?: unknown } = {};
  circular.self = circular;
  const throwing = { toJSON: () => assert.unreachable('thrown by toJSON') };
  const never = [() => {}, Symbol('s'), new Proxy({}, { ownKeys: () => [1] as never })];
  for (const value of [1n, { a: [1n] }, circular, throwing])
    assert.throws(() => codecs.json.encode(value), /^message must be serializable/);
  for (const value of never) {
    for (const { encode } of Object.values(codecs)) {
      assert.throws(
        () => encode(value),
        (error: unknown) => error instanceof TypeError && /^message must be serializable/.test(error.message),
      );
    }
  }
});

/** Resolves when so many entries that did not fit have been counted, and not one more. */
async function counted(pool: Balancer, expected: number): Promise<void> {
  const malformed = await until(
    () => pool.stats().malformed >= expected && pool.stats().malformed,
    `${expected} misfits to be counted`,
    3_000,
  ).catch(() => pool.stats().malformed);
  assert.is(malformed, expected);
}

/** Supervises hostile replicas; an uncaught error of the primary fails the test that caused it. */
async function besieged(
  work: (
    pool: Balancer,
    forge: (message: object) => Promise<unknown>,
    supervisor: Supervisor,
  ) => Promise<void>,
  serialization: 'json' | 'advanced' = 'json',
): Promise<void> {
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => void uncaught.push(error);
  process.on('uncaughtException', note);
  try {
    await using supervisor = await start({
      exec: fixture('hostile.mjs'),
      serialization,
      intensity: 100,
      env: tapped,
    });
    await using pool = await balance(supervisor, 'pool');
    const replica = pidAt(pool.pids(), 0);
    await work(pool, (message) => call(replica, message), supervisor);
    assert.equal(uncaught, []);
    await until(() => upPids(supervisor).length === 2, 'both replicas to be there');
    await pool.refresh();
    for (const pid of pool.pids()) assert.equal(await call(pid, { op: 'echo', value: [pid] }), [pid]);
    assert.equal(uncaught, []);
    assert.equal(Object.keys(Object.prototype), []);
    assert.is(({} as { polluted?: unknown }).polluted, undefined);
  } finally {
    process.off('uncaughtException', note);
  }
}

test('forged entries are dropped one by one and counted', () =>
  besieged(async (pool, forge) => {
    const data = { name: 'Error', message: 'forged' };
    const batch = [
      ['no such tag'],
      ['__proto__'],
      ['constructor', 1],
      ['toString'],
      [],
      null,
      5,
      'result',
      {},
      [null],
      [['result', 1, '']],
      ['result'],
      ['result', null],
      ['result', '1', ''],
      ['result', -1, ''],
      ['result', 1.5, ''],
      ['failure', 1, {}],
      ['failure', 1, { ...data, name: 1 }],
      ['failure', 1, { ...data, stack: {} }],
      ['failure', 1, { ...data, pid: 'one' }],
      ['failure', 1, { ...data, cause: 'text' }],
      ['failure', 1, { ...data, cause: { ...data, cause: {} } }],
      ['request', 1, 'explode', 'pool', 5, false],
      ['request', 1, 'call', null, 5, false],
      ['request', 1, 'call', 'pool', 5, false, 1, 2],
      ['request', 1, 'call', 'pool', -1, false],
      ['request', 1, 'call', 'pool', 2 ** 31, false, ''],
      ['request', 1, 'call', 'pool', 5, 'no'],
      ...forgedContexts.map((context) => ['tracedRequest', 1, 'cast', 'pool', 5, false, ...context]),
      ['hello', '1'],
      ['ready', 1],
      ['crash', 'text'],
      ['leave', {}],
      ['cancel', '1'],
      // The primary's own tags, sent back to it.
      ['call', 1, '""'],
      ['stop', 'now'],
      // They fit, but answer nothing that was asked.
      ['result', 1_000_000, '""'],
      ['failure', 1_000_000, data],
    ];
    await forge({ op: 'forge', batch: [...batch, ['result', 1_000_000, 'a run', 'of', 'three']] });
    const misfits = batch.length + 3;
    await counted(pool, misfits);
    for (const notABatch of [null, 'text', 5, { length: 1 }]) await forge({ op: 'forge', batch: notABatch });
    await forge({ op: 'forge' });
    await counted(pool, misfits + 5);
    await forge({ op: 'repeat', entry: ['no such tag'], times: 100_000 });
    await counted(pool, misfits + 100_005);
  }));

/** No trace contexts: of another version, too long, without an id, of other characters, or no texts. */
const good = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
const forgedContexts = [
  [],
  [good],
  ['', ''],
  [good.toUpperCase(), ''],
  [good.replace('00-', 'ff-'), ''],
  [good.replace('a', '0').replaceAll('a', '0'), ''],
  [good.replaceAll('b', '0'), ''],
  [`${good}-more`, ''],
  [`${good}\n`, ''],
  ['0'.repeat(100_000), ''],
  [good, 'x'.repeat(513)],
  [good, null],
  [good, ['']],
  [[good], ''],
  [{ length: 55 }, ''],
  [good, '', {}, {}],
];

test('a forged answer settles the call once, and its own answer is the one too many', () =>
  besieged(async (pool, forge) => {
    const batch = [
      ['result', 1, 'forged'],
      ['result', 1, 'again'],
      ['failure', 1, { name: 'Error', message: 'and again' }],
    ];
    assert.is(await forge({ op: 'forge', batch }), 'forged'); // the first call to that replica has id 1
    await counted(pool, 3);
    const failed = forge({
      op: 'forge',
      batch: [['failure', 2, { name: '__proto__', message: 'constructor' }]],
    });
    assert.is(((await rejects(failed, 'ERR_REMOTE')).cause as Error).name, '__proto__');
    await counted(pool, 4);
  }));

test('bytes that are no serialized value reject their own call only', () =>
  besieged(async (_pool, forge) => {
    await rejects(forge({ op: 'forge', batch: [['result', 1, 'no bytes']] }), 'ERR_PROTOCOL');
  }, 'advanced'));

test('no field of a forged entry touches a prototype', () =>
  besieged(async (pool, forge) => {
    const pollution =
      '"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":"text","then":1';
    const error = `{"name":"N","message":"m",${pollution}}`;
    const failed = forge({ op: 'forgeText', text: `[["failure",1,${error}]]` });
    const failure = await rejects(failed, 'ERR_REMOTE');
    assert.is((failure.cause as { polluted?: unknown }).polluted, undefined);
    assert.equal(Object.keys(failure.cause as object), []);
    const malformed = `[{${pollution}},["crash",{${pollution}}],["failure",2,{${pollution},"name":{${pollution}},"message":""}]]`;
    await forge({ op: 'forgeText', text: malformed });
    await counted(pool, 4); // with the first call's own answer
    const value = JSON.parse(`{${pollution}}`);
    const reply = await forge({ op: 'echo', value });
    assert.is(JSON.stringify(reply), JSON.stringify(value)); // a message may hold such names: they are the user's
  }));

test('forged requests harm nobody but their sender', () =>
  besieged(async (pool, forge) => {
    const [self, other] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
    const targets = ['nowhere', '__proto__', '', 'pool', self, other, 0, 2 ** 52];
    const batch = targets.flatMap((target, i) =>
      ['call', 'cast', 'ping'].map((kind, j) => [
        'request',
        3 * i + j,
        kind,
        target,
        1_000,
        true,
        { op: 'no such' },
      ]),
    );
    await forge({ op: 'forge', batch });
    await forge({ op: 'forge', batch }); // the same ids again
    await forge({ op: 'repeat', entry: ['request', 1_000, 'call', 'nowhere', 0, false, ''], times: 20_000 });
    await forge({ op: 'repeat', entry: ['cancel', 1_000], times: 20_000 });
    await ping(self);
    await ping(other);
    assert.is(pool.stats().malformed, 0);
    assert.is(pool.pids().length, 2);
  }));

test('an error that is nested without end, or its own cause, does not end the primary', async () => {
  const open = '{"name":"N","message":"m","cause":';
  await besieged(async (pool, forge) => {
    const nested = `${open.repeat(50_000)}{"name":"N","message":"m"}${'}'.repeat(50_000)}`;
    await forge({ op: 'forgeText', text: `[["crash",${nested}]]` });
    await forge({ op: 'forgeText', text: `[["failure",2,${nested}]]` }).catch(() => {});
    await ping(pidAt(pool.pids(), 0));
  });
  await besieged(async (pool, forge) => {
    await forge({ op: 'forgeCircular', tag: 'crash' }).catch(() => {});
    await forge({ op: 'forgeCircular', tag: 'failure', id: 2 }).catch(() => {});
    await ping(pidAt(pool.pids(), 0));
  }, 'advanced');
});

test('a replica that speaks another protocol is ended, with that reason, and restarted', () =>
  besieged(async (pool, forge, supervisor) => {
    const replica = pidAt(pool.pids(), 0);
    const down = downOf(supervisor, replica);
    const forged = forge({ op: 'forge', batch: [['hello', 99]] });
    forged.catch(() => {}); // its answer may come before its end
    const event = await down;
    assert.is(event.signal, 'SIGKILL');
    assert.is((event.error as BallermannError).code, 'ERR_PROTOCOL');
    assert.match((event.error as Error).message, /99/);
  }));

test('what a replica asks before it has said hello is dropped and counted', async () => {
  using folder = new Folder();
  const batch = [['request', 1, 'call', 'pool', 1000, false, 'early']];
  const early = folder.script(
    'early.cjs',
    `const { dlopen } = process;
    process.dlopen = (module, file) => {
      dlopen.call(process, module, file);
      const { ChannelEnd } = module.exports;
      module.exports.ChannelEnd = class extends ChannelEnd {
        constructor(...args) {
          super(...args);
          this.writeText(${JSON.stringify(JSON.stringify(batch))});
        }
      };
    };`,
  );
  await using supervisor = await start({ replicas: 1, env: { NODE_OPTIONS: `--require ${early}` } });
  await using pool = await balance(supervisor, 'pool');
  await ping(pool.pid());
  assert.is(pool.stats().malformed, 1);
});

test("the user's own messages go through beside ours, and nobody's listener sees ours", async () => {
  await using supervisor = await start({ exec: fixture('plain.mjs'), replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const worker = workerOf(pool.pid());
  const received: unknown[] = [];
  const onAll = (from: Worker, message: unknown): void => {
    if (from === worker) received.push(message);
  };
  cluster.on('message', onAll);
  worker.on('message', (message) => received.push(message));
  const own = [
    { cmd: 'ballermann', batch: [['ping', 1]] },
    { cmd: 'own' },
    { batch: [['result', 1, '']] },
    ['call', 1, ''],
    'text',
    0,
    false,
    null,
  ];
  for (const message of own) {
    const answered = once(worker, 'message');
    worker.send(message as never);
    assert.equal((await answered)[0], { answer: message });
  }
  assert.equal(await pool.call({}), own); // what the replica's listener saw
  const sentByReplica = once(worker, 'message');
  await pool.call({ send: { from: 'the replica' } });
  assert.equal((await sentByReplica)[0], { from: 'the replica' });
  await ping(pool.pid());
  pool.cast({});
  assert.equal(await pool.call({}), own);
  const expected = [...own.map((message) => ({ answer: message })), { from: 'the replica' }];
  assert.equal(
    received,
    expected.flatMap((message) => [message, message]), // both listeners saw each
  );
  cluster.off('message', onAll);
  assert.is(pool.stats().malformed, 0);
});

function workerOf(pid: number): Worker {
  const worker = Object.values(cluster.workers ?? {}).find((each) => each?.process.pid === pid);
  if (worker === undefined) throw new Error(`no worker has pid ${pid}`);
  return worker;
}

test.run();
