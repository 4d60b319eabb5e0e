/** What is done with a connection that lives for months leaves nothing behind in it. */

import type { NatsConnection } from '@nats-io/transport-node';
import { type Balancer, balance } from 'ballermann';
import { type FleetPool, fleetPool, join } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { client } from '../support/fleet.js';
import { start } from '../support/helpers.js';
import { leftBy } from '../support/memory.js';
import { isMissing, NatsServer } from '../support/nats.js';

const it = suite('memory of a fleet');
const test = isMissing ? it.skip : it;

/** Bytes: less than a subscription of the client. */
const LEAST = 2_000;

const RUNS = 200;

interface Place {
  readonly nc: NatsConnection;
  readonly fleet: FleetPool;
  readonly other: Balancer;
}

const { signal } = new AbortController();

const acts: Record<string, (place: Place) => unknown> = {
  call: ({ fleet }) => fleet.call('x', { signal }),
  async 'a call given up'({ fleet }) {
    const controller = new AbortController();
    const given = fleet.call('x', { signal: controller.signal }).catch(() => {});
    controller.abort();
    await given;
  },
  'a window': ({ fleet }) => fleet.applyWithin(() => {}, 0, { signal, timeout: 10_000 }),
  async 'a fleet pool'({ nc }) {
    await using fleet = fleetPool(nc, 'left');
    await fleet.call('x');
  },
  async 'a fleet pool that nobody uses'({ nc }) {
    await fleetPool(nc, 'left').close();
  },
  async 'a member'({ nc, other }) {
    const member = await join(nc, other);
    await member.leave();
  },
};

for (const [name, act] of Object.entries(acts))
  test(`a connection of NATS: ${name}`, async () => {
    await using server = await NatsServer.start();
    await using supervisor = await start({ replicas: 1 });
    const [balancer, other] = await Promise.all([balance(supervisor, 'left'), balance(supervisor, 'other')]);
    const nc = await client(server);
    try {
      await join(nc, balancer);
      await using fleet = fleetPool(nc, 'left');
      await fleet.call('x');
      const left = await leftBy(() => act({ nc, fleet, other }), RUNS);
      assert.ok(left < LEAST, `${left} bytes each time`);
    } finally {
      await nc.close();
    }
  });

it.run();
