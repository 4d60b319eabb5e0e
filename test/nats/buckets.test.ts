/** The buckets of a fleet, where many make the same one at once. */

import { Kvm } from '@nats-io/kv';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FleetBucket } from '#src/nats/buckets.js';
import { times } from '../support/helpers.js';
import { isMissing, NatsServer } from '../support/nats.js';

const it = suite('buckets');
const test = isMissing ? it.skip : it;

const patient = { maxReconnectAttempts: -1, reconnectTimeWait: 5, reconnectJitter: 0 };

test('a bucket that the server has lost is made again by all that use it, at once: the server survives it', async () => {
  await using server = await NatsServer.start();
  const ncs = await Promise.all(times(8, () => connect({ ...patient, servers: server.url })));
  const buckets: FleetBucket[] = [];
  for (const nc of ncs) buckets.push(await FleetBucket.open(nc, 'lost', 1_000));
  const kept = await new Kvm(ncs[0] as NatsConnection).open('lost');
  for (let round = 0; round < 60; round++) {
    await kept.destroy();
    await Promise.all(ncs.map(reconnect));
    const read = await Promise.all(buckets.map((bucket, index) => lookAfter(index, bucket, ncs)));
    assert.equal(read, Array(ncs.length).fill([null, []]), `round ${round}: ${server.log}`);
  }
  await Promise.all(ncs.map((nc) => nc.close()));
});

it.run();

async function reconnect(nc: NatsConnection): Promise<void> {
  const statuses = nc.status();
  await nc.reconnect();
  for await (const { type } of statuses) if (type === 'reconnect') return;
}

/** Reads after so many round trips, so that some read while others make it. */
async function lookAfter(
  roundTrips: number,
  bucket: FleetBucket,
  ncs: readonly NatsConnection[],
): Promise<unknown> {
  for (let i = 0; i < roundTrips; i++) await ncs[roundTrips]?.flush();
  return [await bucket.get('key'), await bucket.entries('*')];
}
