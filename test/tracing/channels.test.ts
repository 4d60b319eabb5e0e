/** The tracing channels as diagnostics_channel has them: which events come with which context, and what travels with a call. */

import { type TracingChannelSubscribers, tracingChannel } from 'node:diagnostics_channel';
import { type Balancer, balance, type CallTrace, call, cast, ping, type Supervisor } from 'ballermann';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { addon } from '#src/memory/addon.js';
import { fixture, rejects, start, throws, until } from '../support/helpers.js';

const test = suite('tracing channels');

/** What the primary has written to its channels, as text, and what came from them. */
const written: string[] = [];
const received: string[] = [];
{
  const { ChannelEnd } = addon();
  class Recorded extends ChannelEnd {
    constructor(...args: ConstructorParameters<typeof ChannelEnd>) {
      const [isPrimary, memory, ear, bell, take, ...others] = args;
      const seen = (message: unknown): boolean => {
        received.push(String(message));
        return take(message);
      };
      super(isPrimary, memory, ear, bell, seen, ...others);
    }

    override writeText(text: string): boolean {
      written.push(text);
      return super.writeText(text);
    }
  }
  Object.assign(addon(), { ChannelEnd: Recorded });
}

let supervisor: Supervisor;
let pool: Balancer;
let pid: number;

test.before(async () => {
  supervisor = await start({ exec: fixture('tracing/subscriber.mjs'), name: 'noted', replicas: 1 });
  pool = await balance(supervisor, 'traced');
  pid = pool.pid();
});
test.after(() => supervisor.close());

interface Noted {
  event: string;
  [field: string]: unknown;
}

const carrier = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'vendor=value' };

/** Runs `task` with a subscriber of a channel. @returns what it was told; each context as it was then. */
async function told<Context extends object>(
  name: string,
  task: () => unknown,
  started: (context: Context) => void = () => {},
): Promise<Noted[]> {
  const noted: Noted[] = [];
  const note = (event: string) => (message: unknown) => {
    if (event === 'start') started(message as Context);
    const { run, error, ...fields } = message as Record<string, unknown>;
    noted.push({ event, ...fields, ...(error !== undefined && { error: (error as Error).message }) });
  };
  const subscribers = Object.fromEntries(
    ['start', 'end', 'asyncStart', 'asyncEnd', 'error'].map((event) => [event, note(event)]),
  ) as unknown as TracingChannelSubscribers<object>;
  const channel = tracingChannel(`ballermann:${name}`);
  channel.subscribe(subscribers);
  try {
    await task();
  } finally {
    channel.unsubscribe(subscribers);
  }
  return noted;
}

const eventsOf = (noted: readonly Noted[]): string[] => noted.map(({ event }) => event);

/** What the primary wrote, and what it got, while `task` ran. */
async function wire(task: () => unknown): Promise<{ out: string[]; in: string[] }> {
  await ping(pid); // nothing is on its way any more
  written.length = 0;
  received.length = 0;
  await task();
  return { out: [...written], in: [...received] };
}

test('without a subscriber nothing more travels, and with one only what it gives', async () => {
  const message = { op: 'quick' };
  const plain = await wire(() => pool.call(message));
  assert.match(plain.out[0] as string, /^\[\["call",\d+,\{"op":"quick"\}\]\]$/);
  const observed = await wire(() => told('call', () => pool.call(message)));
  assert.match(observed.out[0] as string, /^\[\["call",\d+,\{"op":"quick"\}\]\]$/);
  const carried = await wire(() =>
    told<CallTrace>(
      'call',
      () => pool.call(message),
      (context) => {
        context.carrier = carrier;
      },
    ),
  );
  const { traceparent, tracestate } = carrier;
  const [entry] = JSON.parse(carried.out[0] as string);
  assert.equal(entry, ['traced', entry[1], 'call', traceparent, tracestate, message]);
  const relayed = await wire(() => call(pid, { op: 'cast', target: pid, message }));
  assert.ok(
    relayed.in.join().includes(`["request",1,"cast",${pid},5000,false,{"op":"quick"}]`),
    relayed.in.join(),
  );
});

test('what a subscriber sets travels only where it is a trace context', async () => {
  const bad: unknown[] = [
    undefined,
    null,
    'text',
    {},
    { traceparent: 1 },
    { traceparent: 'x' },
    { traceparent: carrier.traceparent.toUpperCase() },
    { traceparent: `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01` },
    { ...carrier, tracestate: 'x'.repeat(513) },
    { ...carrier, tracestate: 5 },
  ];
  for (const given of bad) {
    const { out } = await wire(() =>
      told<CallTrace>(
        'call',
        () => pool.call({ op: 'quick' }),
        (context) => Object.assign(context, { carrier: given }),
      ),
    );
    assert.match(out[0] as string, /^\[\["call"/, JSON.stringify(given));
  }
});

test('a call, a cast and a ping are told in the primary, with the replica, and without the reply', async () => {
  const called = await told('call', () => pool.call({ op: 'quick' }));
  assert.equal(eventsOf(called), ['start', 'end', 'asyncStart', 'asyncEnd']);
  assert.equal(called[0], { event: 'start', kind: 'call', pool: 'traced', pid: undefined });
  assert.equal(called[3], { event: 'asyncEnd', kind: 'call', pool: 'traced', pid });

  const toPid = await told('call', () => call(pid, { op: 'quick' }));
  assert.equal(toPid[0], { event: 'start', kind: 'call', pool: undefined, pid });

  const failed = await told('call', () => rejects(pool.call({ op: 'throw' }), 'ERR_REMOTE'));
  assert.equal(eventsOf(failed), ['start', 'end', 'error', 'asyncStart', 'asyncEnd']);
  assert.match(String(failed[2]?.['error']), /TypeError: thrown/);

  const refused = await told('call', () => pool.call({ op: 'quick', big: 1n }).catch(() => {}));
  assert.equal(eventsOf(refused), ['start', 'end', 'error', 'asyncStart', 'asyncEnd']);

  const sent = await told('call', () => pool.cast({ op: 'quick' }));
  assert.equal(eventsOf(sent), ['start', 'end']);
  assert.equal(sent[1], { event: 'end', kind: 'cast', pool: 'traced', pid });
  const notSent = await told('call', () => {
    try {
      cast(pid, 1n);
    } catch {}
  });
  assert.equal(eventsOf(notSent), ['start', 'error', 'end']);

  const pinged = await told('call', () => ping(pid));
  assert.equal(eventsOf(pinged), ['start', 'end', 'asyncStart', 'asyncEnd']);
  assert.equal(pinged[0], { event: 'start', kind: 'ping', pool: undefined, pid });
});

test('a handler is told in its replica, runs where the subscriber wants, and gets the carrier', async () => {
  await pool.call({ op: 'subscribe' });
  await pool.call({ op: 'clear' });
  const outcomes: unknown[] = [];
  for (const op of ['quick', 'slow']) outcomes.push(await pool.call({ op }));
  for (const op of ['throw', 'reject', 'unserializable']) await rejects(pool.call({ op }), 'ERR_REMOTE');
  await told<CallTrace>(
    'call',
    () => pool.cast({ op: 'quick' }),
    (context) => {
      context.carrier = carrier;
    },
  );
  const noted = (await pool.call({ op: 'noted' })) as Noted[];
  await pool.call({ op: 'unsubscribe' });
  assert.equal(outcomes, [
    ['call', 'ran'],
    ['call', 'ran'],
  ]);
  const handled = noted.filter(({ event }) => event.startsWith('handle'));
  const well = ['handle start', 'handle end', 'handle asyncStart', 'handle asyncEnd'];
  const badly = ['handle start', 'handle end', 'handle error', 'handle asyncStart', 'handle asyncEnd'];
  assert.equal(eventsOf(handled), [
    'handle end', // of the call that cleared the notes
    'handle asyncStart',
    'handle asyncEnd',
    ...well,
    ...well,
    ...badly,
    ...badly,
    ...badly,
    ...well,
    'handle start', // of the call that asks
  ]);
  const errors = handled.filter(({ event }) => event === 'handle error').map(({ error }) => String(error));
  assert.equal(errors.slice(0, 2), ['TypeError: thrown', 'TypeError: rejected']);
  const last = handled.filter(({ event }) => event === 'handle asyncEnd').at(-1);
  assert.equal(last, { event: 'handle asyncEnd', kind: 'cast', supervisor: 'noted', index: 0, carrier });
});

test('a call of a replica is told there, and its carrier goes through the primary to the handler', async () => {
  await pool.call({ op: 'subscribe', carrier });
  await pool.call({ op: 'call', target: 'traced', message: { op: 'quick' } });
  await pool.call({ op: 'call', target: pid, message: { op: 'quick' } });
  await pool.call({ op: 'cast', target: 'traced', message: { op: 'quick' } });
  await ping(pid);
  const noted = (await pool.call({ op: 'noted' })) as Noted[];
  await pool.call({ op: 'unsubscribe' });
  const called = noted.filter(({ event }) => event === 'call start');
  assert.equal(
    called.map(({ kind, pool: name, pid: to }) => [kind, name, to ?? null]),
    [
      ['call', 'traced', null],
      ['call', undefined, pid],
      ['cast', 'traced', null],
    ],
  );
  const carried = noted.filter(({ event, carrier: has }) => event === 'handle start' && has !== undefined);
  assert.equal(
    carried.map(({ kind, carrier: has }) => [kind, has]),
    [
      ['call', carrier],
      ['call', carrier],
      ['cast', carrier],
    ],
  );
  assert.is(pool.stats().malformed, 0);
});

test('a window and a reload are told with their times', async () => {
  const before = performance.now();
  const [, , , window] = await told('window', () => pool.applyWithin(() => 1, 5));
  const { openedAt, waitedAt } = window as unknown as { openedAt: number; waitedAt: number };
  assert.ok(before <= openedAt && openedAt + 4 <= waitedAt && waitedAt <= performance.now());
  assert.is(window?.['pool'], 'traced');

  const failed = await told('window', () =>
    pool
      .applyWithin(() => {
        throw new Error('not today');
      })
      .catch(() => {}),
  );
  assert.equal(eventsOf(failed), ['start', 'end', 'error', 'asyncStart', 'asyncEnd']);

  const reloaded = await told('reload', () => supervisor.reload());
  const { replaced, supervisor: name } = reloaded.at(-1) as unknown as {
    replaced: { index: number; pid: number }[];
    supervisor: string;
  };
  assert.equal(
    replaced.map((each) => [each.index, each.pid]),
    [[0, pool.pid()]],
  );
  assert.is(name, 'noted');
  throws(() => cast('nobody', 1), 'ERR_NO_SUCH_POOL');
  await until(() => pool.pids().length === 1, 'the new replica');
});

test('a rejection that nobody handles is unhandled with a subscriber, too', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  await told('call', async () => {
    void pool.call({ op: 'throw' });
    await until(() => unhandled.length > 0, 'the unhandled rejection');
  });
  process.off('unhandledRejection', note);
  assert.is((unhandled[0] as { code: string }).code, 'ERR_REMOTE');
});

test.run();
