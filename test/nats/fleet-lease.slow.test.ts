/** The lease of a window over the fleet: whoever loses it is told, and nobody stays closed beyond it. */

import { setTimeout as sleep } from 'node:timers/promises';
import { Kvm } from '@nats-io/kv';
import { fleetPool } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bedOf, Caller, client, LEASE, Machine } from '../support/fleet.js';
import { rejects, until } from '../support/helpers.js';
import { isMissing } from '../support/nats.js';

const it = suite('the lease of a window over the fleet');
const test = isMissing ? it.skip : it;
const bed = bedOf(it);

/** The key's owner is gone without a word. */
async function takeKey(name: string, id: string, lease: number): Promise<void> {
  const nc = await client(bed.server);
  const kv = await new Kvm(nc).open('ballermann_windows');
  await kv.put(name, JSON.stringify({ id, lease }));
  await nc.close();
}

test('a coordinator that is gone leaves nobody paused beyond the lease, and the next one takes over', async () => {
  await using caller = await Caller.start(bed.server, 'orphan');
  await takeKey('orphan', 'gone', LEASE);
  const started = performance.now();
  await using one = await Machine.start(bed.server, bed.supervisor, 'orphan');
  assert.ok(one.isPaused && one.follower.isOpen);
  const next = caller.windows.applyWithin(() => one.isPaused);
  await until(() => !one.isPaused, 'the end of the lease');
  assert.ok(performance.now() - started > LEASE * 0.9);
  assert.ok(performance.now() - started < LEASE * 2);
  assert.ok(await next);
});

test('a coordinator whose key another has taken learns it: the signal aborts, the window rejects', async () => {
  await using caller = await Caller.start(bed.server, 'stolen');
  let signal: AbortSignal | undefined;
  const lost = caller.windows.applyWithin(async (context) => {
    signal = context.signal;
    await takeKey('stolen', 'thief', LEASE);
    await new Promise(() => {});
  });
  await rejects(lost, { code: 'ERR_DISCONNECTED', message: /lease .* was lost/ });
  assert.ok(signal?.aborted);
});

test('a server that stops answering ends the lease at the coordinator first, then at the members', async () => {
  await using one = await Machine.start(bed.server, bed.supervisor, 'partition');
  await using caller = await Caller.start(bed.server, 'partition');
  let pausedAtLoss: boolean | undefined;
  const lost = caller.windows.applyWithin(async ({ signal }) => {
    signal.addEventListener('abort', () => {
      pausedAtLoss = one.isPaused;
    });
    await bed.server.suspend();
    await new Promise(() => {});
  });
  try {
    await rejects(lost, { code: 'ERR_DISCONNECTED', message: /lease .* was lost/ });
    assert.is(pausedAtLoss, true);
    await until(() => !one.isPaused, 'the pool to be open');
    assert.ok(one.follower.isOpen, 'a member that is not current begins no calls of the fleet');
  } finally {
    bed.server.resume();
  }
  await until(() => !one.follower.isOpen, 'the member to be current again');
});

test('survives a restart of the server within the lease', async () => {
  await using one = await Machine.start(bed.server, bed.supervisor, 'restart');
  await using caller = await Caller.start(bed.server, 'restart');
  await caller.windows.applyWithin(async ({ signal }) => {
    await bed.server.restart();
    const end = performance.now() + 1.5 * LEASE;
    while (performance.now() < end) {
      assert.ok(one.isPaused && !signal.aborted);
      await sleep(20);
    }
  });
  await until(() => !one.isPaused && !one.follower.isOpen, 'its end');
});

test('a lease that is longer than the default: no other window opens before its end', async () => {
  const [nc, far] = await Promise.all([client(bed.server), client(bed.server)]);
  const usual = fleetPool(far, 'long');
  await usual.ready; // the bucket is there
  const patient = fleetPool(nc, 'long', { lease: 40_000 });
  const order: string[] = [];
  const first = patient.applyWithin(async ({ signal }) => {
    order.push('first');
    await sleep(11_500, undefined, { signal });
    order.push('its end');
  });
  await sleep(500);
  const second = usual.applyWithin(() => order.push('second'));
  second.catch(() => {});
  await first;
  await second;
  assert.equal(order, ['first', 'its end', 'second']);
  const { ttl } = await (await new Kvm(nc).open('ballermann_windows')).status();
  assert.is(ttl, 40_000);
  await Promise.all([nc.close(), far.close()]);
});

it.run();
