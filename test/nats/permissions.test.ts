/** Clients that may not do what they need, by the server or their own options: what needs it rejects at once, and says why. */

import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import { balance, type Supervisor } from 'ballermann';
import { fleetPool, join } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rejects, start, until } from '../support/helpers.js';
import { isMissing, NatsServer } from '../support/nats.js';

const it = suite('permissions');
const test = isMissing ? it.skip : it;

/** By its name, a user who may do all but this. */
const DENIED = {
  calls: { publish: 'ballermann.call.*' },
  windows: { publish: 'ballermann.window.>' },
  locks: { publish: '$KV.ballermann_windows.>' },
  heartbeats: { publish: '$KV.ballermann_members.>' },
  jetstream: { publish: '$JS.API.>' },
  members: { subscribe: '$KV.ballermann_members.>' },
  news: { subscribe: 'ballermann.window.>' },
  acknowledgements: { subscribe: 'ballermann.acknowledge.>' },
  work: { subscribe: 'ballermann.call.>' },
  questions: { subscribe: 'ballermann.ask.>' },
  answers: { subscribe: '_INBOX.>' },
  discovery: { subscribe: '$SRV.>' },
} as const;
type User = keyof typeof DENIED;

let server: NatsServer;
let supervisor: Supervisor;
const connections: NatsConnection[] = [];

async function as(user: User | 'all' | 'private', options?: ConnectionOptions): Promise<NatsConnection> {
  const nc = await connect({ servers: server.url, user, pass: 'p', ...options });
  connections.push(nc);
  return nc;
}

it.before(async () => {
  if (isMissing) return;
  const users: object[] = Object.entries(DENIED).map(([user, denied]) => {
    const [[verb, subject]] = Object.entries(denied) as [[string, string]];
    return { user, password: 'p', permissions: { [verb]: { deny: [subject] } } };
  });
  const inbox = { allow: ['_PRIVATE.>', '$KV.>', '$SRV.>', 'ballermann.>'] };
  users.push({ user: 'private', password: 'p', permissions: { subscribe: inbox } });
  const config = { authorization: { users: [{ user: 'all', password: 'p' }, ...users] } };
  server = await NatsServer.start({ config });
  supervisor = await start({ replicas: 1 });
});

it.after(async () => {
  for (const nc of connections) await nc.close();
  await supervisor?.close();
  await server?.[Symbol.asyncDispose]();
});

/** Its message has to name the subject. */
function names(subject: RegExp): { code: string; message: RegExp } {
  const message = new RegExp(`does not let this client (publish|subscribe) to '${subject.source}`);
  return { code: 'ERR_DISCONNECTED', message };
}

test('calls', async () => {
  await using pool = await balance(supervisor, 'called');
  await using member = await join(await as('all'), pool);
  const call = async (user: User) => fleetPool(await as(user), 'called').call(1, { timeout: 60_000 });
  await rejects(call('calls'), names(/ballermann\.call\.called'/));
  await rejects(call('members'), names(/\$KV\.ballermann_members\.called\.\*'/));
  await rejects(call('news'), names(/ballermann\.window\.called'/));
  await rejects(call('jetstream'), names(/\$JS\.API\./));
  await rejects(call('answers'), names(/_INBOX\./));
  assert.is(pool.stats().sent, 0);
  assert.ok(member.id);
});

test('windows', async () => {
  await using pool = await balance(supervisor, 'closed');
  await using member = await join(await as('all'), pool);
  let ran = false;
  const open = async (user: User) =>
    fleetPool(await as(user), 'closed').applyWithin(() => {
      ran = true;
    });
  await rejects(open('windows'), names(/ballermann\.window\.closed'/));
  await rejects(open('locks'), names(/\$KV\.ballermann_windows\.closed'/));
  await rejects(open('acknowledgements'), names(/ballermann\.acknowledge\.closed'/));
  assert.not.ok(ran);
  await until(() => !pool.stats().paused, 'the pool to be open');
  assert.ok(member.id);
});

test('joining: nothing is left of it, and another connection may join', async () => {
  await using pool = await balance(supervisor, 'joined');
  const enter = async (user: User) => join(await as(user), pool);
  await rejects(enter('heartbeats'), names(/\$KV\.ballermann_members\.joined\./));
  await rejects(enter('news'), names(/ballermann\.window\.joined'/));
  await rejects(enter('jetstream'), names(/\$JS\.API\./));
  await rejects(enter('answers'), names(/_INBOX\./));
  await rejects(enter('work'), names(/ballermann\.call\.joined/));
  await rejects(enter('questions'), names(/ballermann\.ask\.joined\./));
  const fleet = fleetPool(await as('all'), 'joined');
  await fleet.ready;
  assert.equal(fleet.members(), []);
  await using member = await enter('discovery'); // the tools of NATS do not see it, and that is all
  assert.is(((await fleet.call(1)) as { echo: number }).echo, 1);
  assert.ok(member.id);
});

test('a client that may hear answers under a prefix of its own alone', async () => {
  const own = await as('private', { inboxPrefix: '_PRIVATE' });
  await using pool = await balance(supervisor, 'private');
  await using member = await join(own, pool);
  await using fleet = fleetPool(own, 'private');
  assert.is(((await fleet.call(1)) as { echo: number }).echo, 1);
  await fleet.applyWithin(() => assert.ok(pool.stats().paused));
  assert.ok(member.id);
});

test('a connection that does not hear itself is refused', async () => {
  const deaf = await as('all', { noEcho: true });
  await using pool = await balance(supervisor, 'deaf');
  await rejects(join(deaf, pool), { code: 'ERR_OUT_OF_RANGE', message: /noEcho/ });
  assert.throws(() => fleetPool(deaf, 'deaf'), /noEcho/);
});

it.run();
