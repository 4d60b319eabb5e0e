/** The lease of a window as the key-value bucket keeps it. */

import { setTimeout as sleep } from 'node:timers/promises';
import { Kvm } from '@nats-io/kv';
import { fleetPool } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { client } from '../support/fleet.js';
import { isMissing, NatsServer } from '../support/nats.js';

const it = suite('the lease of a window');
const test = isMissing ? it.skip : it;

test('a lease that is longer than the default: no other window opens before its end', async () => {
  await using server = await NatsServer.start();
  const [nc, far] = await Promise.all([client(server), client(server)]);
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
