/** Whoever may publish to a fleet's subjects may send anything: it is ignored or answered, and harms neither members nor callers. */

import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type Balancer, balance, type Supervisor } from 'ballermann';
import { type FleetMember, type FleetPool, fleetPool, join } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { keySubject } from '#src/nats/buckets.js';
import { acknowledgementSubject, MEMBERS, memberKey, windowSubject } from '#src/nats/keys.js';
import { askSubject, callSubject, cancelSubject, memberSubject } from '#src/nats/subjects.js';
import { rejects, start, until } from '../support/helpers.js';
import { isMissing, NatsServer } from '../support/nats.js';

const it = suite('strangers');
const test = isMissing ? it.skip : it;

const POOL = 'friends';
let server: NatsServer;
let supervisor: Supervisor;
let pool: Balancer;
let nc: NatsConnection;
let far: NatsConnection;
let member: FleetMember;
let fleet: FleetPool;

it.before(async () => {
  if (isMissing) return;
  server = await NatsServer.start({ maxPayload: 64 * 1024 });
  supervisor = await start({ replicas: 1 });
  pool = await balance(supervisor, POOL);
  nc = await connect({ servers: server.url });
  far = await connect({ servers: server.url });
  member = await join(nc, pool);
  fleet = fleetPool(far, POOL);
  await fleet.ready;
});

it.after(async () => {
  fleet?.close();
  await member?.leave();
  await nc?.close();
  await far?.close();
  await supervisor?.close();
  await server?.[Symbol.asyncDispose]();
});

/** All that members and callers listen to, but for the inboxes of callers, which nobody can guess. */
function subjects(): string[] {
  const { id } = member;
  return [
    callSubject(POOL),
    memberSubject(POOL, id),
    cancelSubject(POOL),
    askSubject(POOL, id),
    windowSubject(POOL),
    acknowledgementSubject(POOL),
    keySubject(MEMBERS, memberKey(POOL, id)),
    keySubject(MEMBERS, memberKey(POOL, 'stranger')),
    '$SRV.PING',
    `$SRV.STATS.${POOL}`,
  ];
}

async function allIsWell(): Promise<void> {
  assert.is(((await fleet.call(1)) as { echo: number }).echo, 1);
  assert.is(await fleet.applyWithin(() => 'ran', 0, { timeout: 10_000 }), 'ran');
  await until(() => fleet.members().length === 1, 'one member');
  assert.is(fleet.members()[0]?.id, member.id);
}

const TEXTS = [
  '',
  'null',
  '1',
  '"text"',
  '[]',
  '[1,null,{}]',
  '{}',
  '{',
  '\u0000',
  '{"id":1,"open":true}',
  '{"id":"x","open":true,"lease":1e99,"revision":1}',
  '{"id":"x","open":true,"lease":"long","revision":null}',
  '{"id":"x","open":0}',
  '{"member":"x"}',
  '{"lapse":1e99,"beat":1,"alive":1,"original":1,"paused":false,"unfinished":0,"host":"h","pid":1,"serialization":"json"}',
  '{"lapse":5000,"beat":1,"alive":1,"original":1,"paused":false,"unfinished":0,"host":"h","pid":1,"serialization":"own"}',
];

test('what makes no sense', async () => {
  const stranger = await connect({ servers: server.url });
  let pauses = 0;
  const count = (): void => {
    pauses++;
  };
  pool.on('pause', count);
  for (const subject of subjects()) {
    for (const text of TEXTS) {
      stranger.publish(subject, text);
      stranger.publish(subject, text, { reply: 'nobody.listens' });
    }
  }
  await stranger.flush();
  await stranger.close();
  await Promise.all([nc.flush(), far.flush()]); // so all of it has arrived
  assert.equal(
    fleet.members().map(({ id }) => id),
    [member.id],
  );
  pool.off('pause', count);
  assert.is(pauses, 0, 'none has opened a window');
  await allIsWell();
});

test('headers that cannot be read', async () => {
  const socket = connectSocket(server.port, '127.0.0.1');
  socket.resume();
  socket.write('CONNECT {"verbose":false,"headers":true}\r\n');
  for (const subject of subjects()) {
    for (const head of [
      'NATS/1.0\r\nbad key: 1\r\n\r\n',
      'NATS/1.0\r\n: \r\n\r\n',
      '\u0001\r\nx\u0000:\r\n\r\n',
      'NATS/1.0 503\r\n\r\n',
    ]) {
      socket.write(`HPUB ${subject} nobody.listens ${head.length} ${head.length + 1}\r\n${head}1\r\n`);
    }
  }
  socket.end('PING\r\n');
  await once(socket, 'close');
  await allIsWell();
});

test('an error that is larger than the server takes', async () => {
  const large = await rejects(fleet.call({ op: 'throw', message: 'x'.repeat(60_000) }), 'ERR_REMOTE');
  assert.match(large.message, /cannot travel/);
  const stats = await far.request(`$SRV.STATS.${POOL}`);
  assert.ok(stats.data.length < 2_000);
  await allIsWell();
});

it.run();
