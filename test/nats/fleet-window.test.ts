import { AsyncResource } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { balance } from 'ballermann';
import { fleetPool, join } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fleet } from '#src/nats/fleet-members.js';
import { announce } from '#src/nats/presence.js';
import { BEAT, bedOf, Caller, client, idle, LEASE, Machine } from '../support/fleet.js';
import { rejects, throws, until } from '../support/helpers.js';
import { isMissing, NatsServer } from '../support/nats.js';

const it = suite('a window over the fleet');
const test = isMissing ? it.skip : it;
const bed = bedOf(it);

const elsewhere = new AsyncResource('outside of any window');

/** As something else in the process would call it. */
function outside<T>(fn: () => T): T {
  return elsewhere.runInAsyncScope(fn);
}

test('waits for what runs on every machine, and holds back what comes, until it ends', async () => {
  await using one = await Machine.start(bed.server, bed.supervisor, 'airtight', { own: 'airtight-1' });
  await using two = await Machine.start(bed.server, bed.supervisor, 'airtight', { own: 'airtight-2' });
  await using caller = await Caller.start(bed.server, 'airtight');
  const order: string[] = [];
  const before = one.balancer.call({ op: 'sleep', ms: 300 }).then(() => order.push('before'));
  let late: Promise<unknown> | undefined;
  const token = await caller.windows.applyWithin(async (context) => {
    assert.ok(one.isPaused && two.isPaused && one.follower.isOpen && two.follower.isOpen);
    assert.ok(caller.fleet.windowOpen);
    late = two.balancer.call('late').then(() => order.push('late'));
    await sleep(100);
    order.push('fn');
    return context.token;
  });
  await Promise.all([before, late]);
  assert.equal(order, ['before', 'fn', 'late']);
  await caller.fleet.windowEnded(AbortSignal.timeout(5_000));
  await until(() => !one.isPaused && !two.isPaused && !one.follower.isOpen, 'both pools to be open');
  assert.ok(
    (await caller.windows.applyWithin((context) => context.token)) > token,
    'a later token is greater',
  );
});

test('stays closed for longer than its lease, and a machine that joins meanwhile is closed from its start', async () => {
  await using one = await Machine.start(bed.server, bed.supervisor, 'long', { own: 'long-1' });
  await using caller = await Caller.start(bed.server, 'long');
  let joined: Machine | undefined;
  await caller.windows.applyWithin(async () => {
    const end = performance.now() + 1.5 * LEASE;
    joined = await Machine.start(bed.server, bed.supervisor, 'long', { own: 'long-2' });
    while (performance.now() < end) {
      assert.ok(one.isPaused && joined.isPaused && joined.follower.isOpen);
      await sleep(20);
    }
  });
  await until(() => !one.isPaused && joined?.isPaused === false, 'its end');
  await joined?.[Symbol.asyncDispose]();
});

test('windows of one pool follow one another, from one process and from several', async () => {
  await using one = await Machine.start(bed.server, bed.supervisor, 'turns');
  await using first = await Caller.start(bed.server, 'turns');
  await using second = await Caller.start(bed.server, 'turns');
  let open = 0;
  const tokens: number[] = [];
  const within = async ({ token }: { token: number }) => {
    assert.is(++open, 1);
    tokens.push(token);
    assert.ok(one.isPaused);
    await sleep(30);
    open--;
  };
  await Promise.all([first, second, first].map(({ windows }) => windows.applyWithin(within)));
  assert.is(tokens.length, 3);
  assert.equal(
    tokens,
    [...tokens].sort((a, b) => a - b),
  );
});

test('a pool that has joined by two connections is closed once, and both say so', async () => {
  const [nc, far] = [await client(bed.server), await client(bed.server)];
  const balancer = await balance(bed.supervisor, 'twice');
  await using first = await join(nc, balancer);
  await using second = await join(far, balancer);
  await using fleet = fleetPool(nc, 'twice');
  for (let i = 0; i < 2; i++) {
    const paused = await fleet.applyWithin(() => balancer.stats().paused, 0, { timeout: 5_000 });
    assert.ok(paused);
    await until(() => !balancer.stats().paused, 'the pool to be open');
  }
  await Promise.all([first.leave(), second.leave()]);
  await Promise.all([nc.close(), far.close()]);
  await balancer.close();
});

test('opens again whatever happens in it, and settles with that', async () => {
  await using one = await Machine.start(bed.server, bed.supervisor, 'ends');
  await using caller = await Caller.start(bed.server, 'ends');
  const { windows } = caller;
  const reopened = () => until(() => !one.isPaused && !one.follower.isOpen, 'the pool to be open');
  const thrown = new Error('in the window');
  assert.is(await windows.applyWithin(() => Promise.reject(thrown)).catch((error) => error), thrown);
  await reopened();
  const given = new AbortController();
  let inside: AbortSignal | undefined;
  const aborted = windows.applyWithin(
    ({ signal }) => {
      inside = signal;
      given.abort(thrown);
      return new Promise(() => {});
    },
    0,
    { signal: given.signal },
  );
  assert.is(await aborted.catch((error) => error), thrown);
  assert.ok(inside?.aborted);
  await reopened();
  await rejects(
    windows.applyWithin(() => new Promise(() => {}), 0, { timeout: 400 }),
    { code: 'ERR_TIMEOUT', message: /its function had not finished/ },
  );
  await reopened();
  await rejects(
    windows.applyWithin(() => windows.applyWithin(() => {})),
    'ERR_PAUSED',
  );
  await rejects(windows.applyWithin(1 as never), 'ERR_INVALID_ARG_TYPE');
  await rejects(
    windows.applyWithin(() => {}, -1),
    'ERR_OUT_OF_RANGE',
  );
});

test('names the members that have not acknowledged in time, and does not run', async () => {
  await using one = await Machine.start(bed.server, bed.supervisor, 'slow');
  await using caller = await Caller.start(bed.server, 'slow');
  const hanging = new AbortController();
  const call = one.balancer.call({ op: 'hang' }, { signal: hanging.signal }).catch(() => {});
  let ran = false;
  const fn = () => {
    ran = true;
  };
  const { message } = await rejects(caller.windows.applyWithin(fn, 0, { timeout: 500 }), 'ERR_TIMEOUT');
  assert.match(
    message,
    `not acknowledged by 1 of 1 members: ${idle.host} (pid ${idle.pid}, member ${one.presence.id})`,
  );
  assert.not(ran);
  hanging.abort();
  await call;
  await until(() => !one.isPaused, 'the pool to be open');
});

test('does not wait for a member whose heartbeat has lapsed', async () => {
  await using caller = await Caller.start(bed.server, 'lapsed');
  const nc = await client(bed.server);
  await announce(nc, 'lapsed', 'dead', () => idle, { heartbeat: BEAT });
  await until(() => caller.fleet.members().length === 1, 'the member');
  const started = performance.now();
  const ran = caller.windows.applyWithin(() => performance.now());
  await nc.close(); // without a word
  assert.ok((await ran) - started > BEAT, 'it was waited for as long as it counted as there');
  assert.equal(caller.fleet.members(), []);
});

test('members are those whose heartbeats come, with what they tell; one that leaves is gone at once', async () => {
  await using caller = await Caller.start(bed.server, 'members');
  const gone: string[] = [];
  caller.fleet.onGone((id) => gone.push(id));
  await using nc = Object.assign(await client(bed.server), {
    async [Symbol.asyncDispose](this: { close(): Promise<void> }) {
      await this.close();
    },
  });
  let state = idle;
  const presence = await announce(nc, 'members', undefined, () => state, { heartbeat: 60_000 });
  await until(() => caller.fleet.members().length === 1, 'the member');
  assert.equal(caller.fleet.members(), [{ id: presence.id, ...idle }]);
  state = { ...idle, paused: true };
  presence.update(state);
  await until(() => caller.fleet.members()[0]?.paused, 'what has changed');
  await using late = await Caller.start(bed.server, 'members');
  assert.equal(
    late.fleet.members(),
    [{ id: presence.id, ...state }],
    'known to whoever comes between two heartbeats',
  );
  await presence.leave();
  await until(() => caller.fleet.members().length === 0, 'its leaving');
  assert.equal(gone, [presence.id]);
});

test('the whole: machines that join, calls that wait for the end of a window, close()', async () => {
  const nc = await client(bed.server);
  const balancer = await balance(bed.supervisor, 'whole');
  await using member = await join(nc, balancer, { heartbeat: BEAT });
  const fleet = fleetPool(nc, 'whole', { lease: LEASE });
  await fleet.ready;
  assert.equal(
    fleet.members().map(({ id }) => id),
    [member.id],
  );
  let answered = false;
  let late: Promise<unknown> | undefined;
  await fleet.applyWithin(async () => {
    await rejects(fleet.call('from inside'), 'ERR_PAUSED');
    late = outside(() => fleet.call('late'));
    void late.then(() => {
      answered = true;
    });
    await sleep(100);
    assert.not(answered);
  });
  await late;
  let opened: () => void = () => {};
  const isOpen = new Promise<void>((resolve) => {
    opened = resolve;
  });
  const endless = fleet.applyWithin(async () => {
    opened();
    await new Promise(() => {});
  });
  await isOpen;
  const closed = rejects(endless, 'ERR_CLOSED');
  fleet.close();
  await closed;
  await until(() => !balancer.stats().paused, 'the pool to be open');
  throws(() => fleetPool(nc, 'whole', { lease: 0 }), 'ERR_OUT_OF_RANGE');
  await member.leave();
  await balancer.close();
  await nc.close();
});

test('says so where the server has no JetStream', async () => {
  await using bare = await NatsServer.start({ jetstream: false });
  const nc = await client(bare);
  const fleet = new Fleet(nc, 'none');
  await rejects(fleet.ready, { code: 'ERR_DISCONNECTED', message: /nats-server -js/ });
  await rejects(
    announce(nc, 'none', undefined, () => idle),
    {
      code: 'ERR_DISCONNECTED',
      message: /nats-server -js/,
    },
  );
  fleet.close();
  await nc.close();
});

it.run();
