/** What happens to calls when the nats-server is killed, silent, refuses, asks for a token or for TLS, or has no JetStream. */

import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';
import { balance } from 'ballermann';
import { fleetPool, join } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deferred } from '#src/deferred.js';
import { MEMBERS, WINDOWS } from '#src/nats/keys.js';
import { rejects, start, times, until } from '../support/helpers.js';
import { type Done, Fleet, Outcomes } from '../support/machines.js';
import { certificate, isMissing, NatsServer } from '../support/nats.js';
import { later } from '../support/processes.js';

const it = suite('faults of the server');
const test = isMissing ? it.skip : it;

test('the server is killed under load and comes back with its store: no idempotent call is lost, others are typed', async () => {
  await using fleet = await Fleet.start();
  const idempotent = new Outcomes();
  const others = new Outcomes();
  const loads = [
    idempotent.load(fleet, { idempotent: true, ms: 10, timeout: 20_000 }),
    others.load(fleet, { idempotent: false, ms: 10, timeout: 20_000 }),
  ];
  for (let i = 0; i < 2; i++) {
    const before = fleet.diary.length;
    await until(() => fleet.diary.length > before + 100, 'calls by this server');
    await fleet.server.restart();
  }
  const before = fleet.diary.length;
  await until(() => fleet.diary.length > before + 100, 'calls by the last server');
  await Promise.all(loads.map((load) => load.end()));
  assert.equal([...idempotent.counts.keys()], ['done'], idempotent.show);
  assert.equal(
    [...others.counts.keys()].filter(
      (how) => !['done', 'ERR_REPLICA_DIED', 'ERR_DISCONNECTED'].includes(how),
    ),
    [],
    others.show,
  );
  await fleet.sees(3);
});

test('the server is killed and comes back with its store: it has all that was in it', async () => {
  await using fleet = await Fleet.start({ machines: 1 });
  const stored = async (): Promise<string[]> => {
    const buckets = new Kvm(fleet.nc);
    const names = [MEMBERS, WINDOWS];
    const statuses = await Promise.all(names.map(async (name) => (await buckets.open(name)).status()));
    return statuses.map(({ bucket, replicas, streamInfo }) => `${bucket} ${replicas} ${streamInfo.created}`);
  };
  const before = await stored();
  await fleet.server.restart();
  assert.not.match(fleet.server.log, 'Error recreating');
  await fleet.pool.call(fleet.work(), { timeout: 20_000, idempotent: true });
  assert.equal(await stored(), before);
});

test('the server comes back without its store: a window that was open is lost, and all goes on', async () => {
  await using fleet = await Fleet.start({ machines: 2 });
  const opened = deferred();
  const window = later(
    fleet.pool.applyWithin(async ({ signal }) => {
      opened.resolve();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      signal.throwIfAborted();
    }),
  );
  await opened.promise;
  await fleet.server.restartEmpty();
  await rejects(window, { code: 'ERR_DISCONNECTED', message: /lease .* was lost/ });
  const calls = times(50, () => fleet.pool.call(fleet.work(), { timeout: 20_000 }));
  const primaries = (await Promise.all(calls)).map((done) => (done as Done).primary);
  assert.is(new Set(primaries).size, 2, 'both machines serve again');
  assert.is(await fleet.pool.applyWithin(() => 'ran'), 'ran');
  await fleet.sees(2);
  await fleet.add();
  await fleet.sees(3);
});

test('the server is silent (suspended): calls and windows end at their time limit, and go on when it does', async () => {
  await using fleet = await Fleet.start({ machines: 1 });
  await fleet.server.suspend();
  await rejects(fleet.pool.call(fleet.work(), { timeout: 300 }), 'ERR_TIMEOUT');
  const window = fleet.pool.applyWithin(() => {}, 0, { timeout: 300 });
  await rejects(window, { code: 'ERR_TIMEOUT', message: /: the server did not answer$/ });
  fleet.server.resume();
  await fleet.pool.call(fleet.work());
});

test('the server is silent when a caller first asks who is there: its calls and windows wait', async () => {
  await using fleet = await Fleet.start({ machines: 1 });
  await fleet.server.suspend();
  await using pool = fleetPool(fleet.nc, 'work');
  const closed = fleetPool(fleet.nc, 'work');
  const refused = later(closed.call(fleet.work(), { timeout: 60_000 }));
  closed.close();
  await rejects(refused, 'ERR_CLOSED');
  const call = later(pool.call(fleet.work(), { timeout: 60_000 }));
  const window = later(pool.applyWithin(() => 'ran', 0, { timeout: 60_000 }));
  await rejects(pool.ready, { code: 'ERR_DISCONNECTED', message: /timeout/ });
  fleet.server.resume();
  await call;
  assert.is(await window, 'ran');
});

test('the server is gone: calls end at their time limit, and say that the connection is down', async () => {
  await using fleet = await Fleet.start({ machines: 1 });
  await fleet.server.stop();
  await until(
    () =>
      fleet.pool
        .call(fleet.work(), { timeout: 100 })
        .then(Boolean, (error: Error) => /is down/.test(error.message)),
    'a call to say so',
  );
});

test('a server with a token and TLS serves whoever has both', async () => {
  const connection = { token: 'right', tls: { caFile: certificate } };
  await using fleet = await Fleet.start({ machines: 1, server: { token: 'right', tls: true }, connection });
  await fleet.pool.call(fleet.work());
  await fleet.pool.applyWithin(() => {});
});

test('without JetStream, and on a closed connection: joining, calls and windows say so at once', async () => {
  await using server = await NatsServer.start({ jetstream: false });
  await using supervisor = await start({ replicas: 1 });
  const pool = await balance(supervisor, 'echo');
  const nc = await connect({ servers: server.url });
  await rejects(join(nc, pool), { code: 'ERR_DISCONNECTED', message: /-js/ });
  await rejects(
    fleetPool(nc, 'echo').applyWithin(() => {}),
    { code: 'ERR_DISCONNECTED', message: /-js/ },
  );
  await rejects(fleetPool(nc, 'echo').call('nobody'), 'ERR_DISCONNECTED');
  const fleet = fleetPool(nc, 'echo');
  await nc.close();
  await rejects(fleet.call('closed'), 'ERR_DISCONNECTED');
  await rejects(
    fleet.applyWithin(() => {}),
    'ERR_DISCONNECTED',
  );
  await rejects(join(nc, pool), 'ERR_DISCONNECTED');
});

it.run();
