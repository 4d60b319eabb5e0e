/** A cluster of three nats-servers: what a fleet stores is on all of them, and one that dies takes nothing along. */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { Kvm, type KvStatus } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import { fleetPool } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MEMBERS, WINDOWS } from '#src/nats/keys.js';
import { until } from '../support/helpers.js';
import { Fleet, Outcomes } from '../support/machines.js';
import { isMissing, NatsServer } from '../support/nats.js';

const it = suite('a cluster of servers');
const test = isMissing ? it.skip : it;

/** Below those that the system gives to clients: none of them is taken before the server listens there. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** By its name. */
type Configuration = [name: string, config: Record<string, unknown>];

async function configurations(): Promise<Configuration[]> {
  const ports = [await freePort(), await freePort(), await freePort()];
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`);
  return ports.map((port, i) => {
    const name = `server${i}`;
    return [name, { server_name: name, cluster: { name: 'cluster', host: '127.0.0.1', port, routes } }];
  });
}

/** Undefined while the cluster elects a leader. */
async function bucket(nc: NatsConnection, name: string): Promise<KvStatus | undefined> {
  const kv = await new Kvm(nc).open(name).catch(() => undefined);
  return kv?.status().catch(() => undefined);
}

/** Of a bucket, on servers that have all of it. */
async function copies(nc: NatsConnection, name: string): Promise<number> {
  const { leader, replicas = [] } = (await bucket(nc, name))?.streamInfo.cluster ?? {};
  return leader ? 1 + replicas.filter(({ current }) => current).length : 0;
}

test('buckets have three copies; the server that leads one is killed: no idempotent call is lost, windows go on', async () => {
  const [first, second, third] = (await configurations()) as [Configuration, Configuration, Configuration];
  await using secondServer = await NatsServer.start({ config: second[1] });
  await using thirdServer = await NatsServer.start({ config: third[1] });
  const connection = { servers: [secondServer.url, thirdServer.url] };
  // Often the first server comes too late for the buckets that this caller makes: whoever comes next finds them with one copy.
  await using fleet = await Fleet.start({
    machines: 0,
    heartbeat: 2_000,
    server: { config: first[1] },
    connection,
  });
  await until(
    async () => {
      await using next = fleetPool(fleet.nc, 'work');
      await next.ready.catch(() => {});
      return (await copies(fleet.nc, MEMBERS)) === 3 && (await copies(fleet.nc, WINDOWS)) === 3;
    },
    'three copies of each bucket',
    60_000,
  );
  await fleet.add();
  await fleet.add();
  const servers = new Map([
    [first[0], fleet.server],
    [second[0], secondServer],
    [third[0], thirdServer],
  ]);

  const calls = new Outcomes();
  const load = calls.load(fleet, { idempotent: true, ms: 10, timeout: 20_000 });
  const served = async (what: string): Promise<void> => {
    const before = fleet.diary.length;
    await until(() => fleet.diary.length > before + 100, what, 20_000);
  };
  await served('calls');
  const leader = (await bucket(fleet.nc, WINDOWS))?.streamInfo.cluster?.leader as string;
  await servers.get(leader)?.kill();
  await served('calls after the kill');
  assert.is(await fleet.other.applyWithin(() => 'ran', 0, { timeout: 20_000 }), 'ran');
  await served('calls after the window');
  await load.end();
  assert.equal([...calls.counts.keys()], ['done'], calls.show);
  await fleet.sees(2);
});

it.run();
