/** `ballermann/opentelemetry` with the real SDK: spans of the primary and of real replicas are one trace, and calls are measured. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { context, createTraceState, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { type Balancer, balance, call, ping, type Supervisor } from 'ballermann';
import { instrument } from 'ballermann/opentelemetry';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deferred } from '../support/gate.js';
import { fixture, rejects, start, until } from '../support/helpers.js';

/** As test/fixtures/tracing/otel.mjs shows them. */
interface Seen {
  pid: number;
  name: string;
  kind: SpanKind;
  scope: string;
  traceId: string;
  id: string;
  parent?: string;
  isRemote: boolean;
  traceState?: string;
  attributes: Record<string, unknown>;
  status: { code: SpanStatusCode; message?: string };
  events: { name: string; attributes?: Record<string, unknown> }[];
}

interface Histogram {
  unit: string;
  series: { attributes: Record<string, unknown>; count: number; sum: number; boundaries: number[] }[];
}

const { begin, spans, histogram, tracer } = (await import(fixture('tracing/otel.mjs').href)) as {
  begin: () => () => void;
  spans: () => Seen[];
  histogram: (name: string) => Promise<Histogram>;
  tracer: ReturnType<typeof trace.getTracer>;
};

const test = suite('opentelemetry');
let supervisor: Supervisor;
let pool: Balancer;
let end: () => void;

test.before(async () => {
  end = begin();
  supervisor = await start({ exec: fixture('tracing/replica.mjs'), name: 'workers', shutdown: 2000 });
  pool = await balance(supervisor, 'traced');
});
test.after(async () => {
  end();
  await supervisor.close();
});

/** Runs `task` in a span of its own. @returns the spans of its trace, in all processes, when there are as many as `count`. */
async function traceOf(count: number, task: () => unknown): Promise<Map<string, Seen>> {
  const root = tracer.startSpan('root');
  const { traceId, spanId } = root.spanContext();
  const traceState = createTraceState('vendor=value');
  const spanContext = { ...root.spanContext(), traceState };
  await context.with(trace.setSpanContext(context.active(), spanContext), async () => task());
  root.end();
  const found = (await until(async () => {
    const all = [...spans(), ...(await spansOfReplicas())].filter((span) => span.traceId === traceId);
    return all.length >= count + 1 && all;
  }, `${count} spans`)) as Seen[];
  assert.is(found.length, count + 1, JSON.stringify(found.map(({ name }) => name)));
  assert.ok(found.every((span) => span.name === 'root' || span.parent !== undefined));
  assert.is(found.find(({ name }) => name === 'root')?.id, spanId);
  return new Map(found.map((span) => [span.name, span]));
}

/** Brought home by calls, which are no part of the trace that is looked at. */
async function spansOfReplicas(): Promise<Seen[]> {
  const all = await Promise.all(pool.pids().map((pid) => call<Seen[]>(pid, { op: 'spans' })));
  return all.flat();
}

function get(found: Map<string, Seen>, name: string): Seen {
  const span = found.get(name);
  assert.ok(span, `${name} among ${[...found.keys()]}`);
  return span as Seen;
}

for (const op of ['work', 'quick']) {
  test(`a call and its handler are one trace, with the handler's own spans in it (${op})`, async () => {
    const found = await traceOf(3, () => pool.call({ op, name: 'inner' }));
    const [root, client, server, inner] = ['root', 'traced/call', 'workers/call', 'inner'].map((name) =>
      get(found, name),
    ) as [Seen, Seen, Seen, Seen];
    assert.is(client.parent, root.id);
    assert.is(server.parent, client.id);
    assert.is(inner.parent, server.id);
    assert.ok(server.isRemote);
    assert.is(server.traceState, 'vendor=value');
    assert.is(client.kind, SpanKind.CLIENT);
    assert.is(server.kind, SpanKind.SERVER);
    assert.is(client.pid, process.pid);
    assert.is(server.pid, client.attributes['ballermann.replica.pid']);
    assert.equal(client.attributes, {
      'rpc.system.name': 'ballermann',
      'rpc.method': 'traced/call',
      'ballermann.pool': 'traced',
      'ballermann.replica.pid': server.pid,
    });
    const index = supervisor.children().find(({ pid }) => pid === server.pid)?.id;
    assert.equal(server.attributes, {
      'rpc.system.name': 'ballermann',
      'rpc.method': 'workers/call',
      'ballermann.replica.index': index,
    });
    for (const span of [client, server]) {
      assert.is(span.status.code, SpanStatusCode.UNSET);
      assert.is(span.scope, 'ballermann');
    }
  });
}

test('a call that a replica makes is the parent of the handler in another replica', async () => {
  const [a, b] = pool.pids() as [number, number];
  const relay = { op: 'relay', target: b, message: { op: 'work', name: 'inner' } };
  let answer: unknown;
  const found = await traceOf(4 + 1, async () => {
    answer = await call(a, relay);
  });
  assert.equal(answer, { reply: b, store: 'kept' });
  // Two handlers have one name, and two calls to a pid: told apart by their process.
  const all = [...spans(), ...(await spansOfReplicas())].filter(
    ({ traceId }) => traceId === get(found, 'root').traceId,
  );
  const of = (pid: number, kind: SpanKind): Seen =>
    all.find((span) => span.pid === pid && span.kind === kind) as Seen;
  const first = of(process.pid, SpanKind.CLIENT);
  const handledByA = of(a, SpanKind.SERVER);
  const second = of(a, SpanKind.CLIENT);
  const handledByB = of(b, SpanKind.SERVER);
  assert.is(handledByA.parent, first.id);
  assert.is(second.parent, handledByA.id);
  assert.is(handledByB.parent, second.id);
  assert.is(second.attributes['ballermann.replica.pid'], b);
  assert.is(get(found, 'inner').parent, handledByB.id);
});

test('a call of a replica to a pool, a cast and a ping are spans of the same trace', async () => {
  const [a] = pool.pids() as [number];
  const toPool = await traceOf(5, () =>
    call(a, { op: 'relay', target: 'traced', message: { op: 'quick', name: 'inner' } }),
  );
  const relayed = get(toPool, 'traced/call');
  assert.is(relayed.pid, a);
  const handlers = [...spans(), ...(await spansOfReplicas())].filter(({ parent }) => parent === relayed.id);
  assert.equal(
    handlers.map(({ kind }) => kind),
    [SpanKind.SERVER],
  );

  const cast = await traceOf(3, () => pool.cast({ op: 'work', name: 'inner' }));
  assert.is(get(cast, 'workers/cast').parent, get(cast, 'traced/cast').id);
  assert.is(get(cast, 'inner').parent, get(cast, 'workers/cast').id);

  const relayedCast = await traceOf(5, () =>
    call(a, { op: 'relayCast', target: 'traced', message: { op: 'work', name: 'inner' } }),
  );
  assert.is(get(relayedCast, 'traced/cast').pid, a);
  assert.is(get(relayedCast, 'workers/cast').parent, get(relayedCast, 'traced/cast').id);

  const pings = await traceOf(3, () => call(a, { op: 'relayPing', pid: pool.pids()[1] }));
  assert.is(get(pings, 'ping').parent, get(pings, 'workers/call').id);
});

test('an error is told by both spans, with the exception', async () => {
  const found = await traceOf(2, () => rejects(pool.call({ op: 'throw' }), 'ERR_REMOTE'));
  const client = get(found, 'traced/call');
  const server = get(found, 'workers/call');
  assert.is(client.status.code, SpanStatusCode.ERROR);
  assert.match(
    client.status.message ?? '',
    /the handler of replica \d+ failed: TypeError: thrown on request/,
  );
  assert.is(client.attributes['error.type'], 'ERR_REMOTE');
  assert.is(client.attributes['rpc.status_code'], 'ERR_REMOTE');
  assert.is(client.events[0]?.attributes?.['exception.type'], 'BallermannError');
  assert.equal(server.status, { code: SpanStatusCode.ERROR, message: 'thrown on request' });
  assert.is(server.attributes['error.type'], 'ERR_ON_REQUEST');
  assert.is(server.attributes['rpc.status_code'], 'ERR_REMOTE');
  assert.is(server.events[0]?.name, 'exception');
  assert.is(server.events[0]?.attributes?.['exception.type'], 'TypeError');
  assert.match(String(server.events[0]?.attributes?.['exception.stacktrace']), /replica\.mjs/);
});

test('a window is a span with its pause and its wait, and what runs in it is inside', async () => {
  const found = await traceOf(4, () =>
    pool.applyWithin(
      () => tracer.startSpan('inner').end(),
      (pid) => ping(pid),
    ),
  );
  const window = get(found, 'window traced');
  assert.equal(
    window.events.map(({ name }) => name),
    ['paused', 'waited'],
  );
  assert.is(window.attributes['ballermann.pool'], 'traced');
  assert.is(get(found, 'inner').parent, window.id);
  assert.is(get(found, 'ping').parent, window.id);

  const failed = await traceOf(1, () =>
    pool
      .applyWithin(() => {
        throw new RangeError('not today');
      })
      .catch(() => {}),
  );
  assert.equal(get(failed, 'window traced').status, { code: SpanStatusCode.ERROR, message: 'not today' });
});

test('the asynchronous context of a caller is kept', async () => {
  const storage = new AsyncLocalStorage<string>();
  await storage.run('kept', async () => {
    await pool.call({ op: 'quick', name: 'inner' });
    assert.is(storage.getStore(), 'kept');
    await rejects(pool.call({ op: 'throw' }), 'ERR_REMOTE');
    assert.is(storage.getStore(), 'kept');
  });
  assert.is(storage.getStore(), undefined);
});

test('calls are measured in seconds, by method and error', async () => {
  const client = await histogram('rpc.client.call.duration');
  const server = await call<Histogram>(pool.pid(), { op: 'histogram', name: 'rpc.server.call.duration' });
  for (const { unit, series } of [client, server]) {
    assert.is(unit, 's');
    for (const { count, sum, boundaries } of series) {
      assert.ok(count > 0 && sum > 0 && sum < 10 * count);
      assert.equal(boundaries.slice(0, 3), [0.005, 0.01, 0.025]);
    }
  }
  const has = ({ series }: Histogram, wanted: Record<string, unknown>): boolean =>
    series.some(({ attributes }) => JSON.stringify(attributes) === JSON.stringify(wanted));
  const ok = { 'rpc.system.name': 'ballermann', 'rpc.method': 'traced/call' };
  assert.ok(has(client, ok), JSON.stringify(client));
  assert.ok(has(client, { ...ok, 'error.type': 'ERR_REMOTE', 'rpc.status_code': 'ERR_REMOTE' }));
  assert.ok(has(server, { 'rpc.system.name': 'ballermann', 'rpc.method': 'workers/call' }));
});

test('a reload is a span that tells each replacement', async () => {
  const before = new Set(pool.pids());
  const found = await traceOf(1, () => supervisor.reload());
  const { events, attributes } = get(found, 'reload workers');
  assert.equal(
    events.map(({ name }) => name),
    ['begun', 'replaced', 'replaced'],
  );
  const pids = events.slice(1).map((event) => event.attributes?.['ballermann.replica.pid'] as number);
  assert.equal(pids.sort(), pool.pids().sort());
  assert.not(pids.some((pid) => before.has(pid)));
  assert.is(attributes['ballermann.supervisor'], 'workers');
});

test('its end ends the spans that are open, after it nothing is recorded, and options are checked', async () => {
  assert.throws(() => instrument({ tracer } as object), /options/);
  const gate = deferred();
  const window = pool.applyWithin(() => gate.promise);
  const before = spans().length;
  end();
  assert.equal(
    spans()
      .slice(before)
      .map(({ name }) => name),
    ['window traced'],
  );
  gate.resolve();
  await window;
  await pool.call({ op: 'quick', name: 'inner' });
  assert.is(spans().length, before + 1);
});

test.run();
