/** The buckets of a fleet, where many make the same one at once. */

import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FleetBucket } from '#src/nats/buckets.js';
import { client } from '../support/fleet.js';
import { times } from '../support/helpers.js';
import { isMissing, NatsServer } from '../support/nats.js';

const it = suite('buckets');
const test = isMissing ? it.skip : it;

test('a bucket that the server has lost is made again by all that use it, at once: the server survives it', async () => {
  await using server = await NatsServer.start();
  const ncs = await Promise.all(times(8, () => client(server)));
  try {
    const buckets = await Promise.all(ncs.map((nc) => FleetBucket.open(nc, 'lost', 1_000)));
    const kept = await new Kvm(ncs[0] as NatsConnection).open('lost');
    for (let round = 0; round < 60; round++) {
      await kept.destroy();
      await Promise.all(ncs.map(reconnect));
      const reads = buckets.map(async (bucket, index) => {
        for (let i = 0; i < index; i++) await ncs[index]?.flush(); // so that some read while others make it
        return [await bucket.get('key'), await bucket.entries('*')];
      });
      assert.equal(await Promise.all(reads), Array(8).fill([null, []]), `round ${round}: ${server.log}`);
    }
  } finally {
    await Promise.all(ncs.map((nc) => nc.close()));
  }
});

it.run();

async function reconnect(nc: NatsConnection): Promise<void> {
  const statuses = nc.status();
  await nc.reconnect();
  for await (const { type } of statuses) if (type === 'reconnect') return;
}
