/** The nats-server of the tests itself: what it is told, it does; its port and its store outlive its end. */

import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { certificate, isMissing, NatsServer } from '../support/nats.js';

const it = suite('nats-server');
const test = isMissing ? it.skip : it;

test('keeps its port and its store over a kill', async () => {
  await using server = await NatsServer.start();
  const { url } = server;
  const before = await connect({ servers: url, reconnect: false });
  await (await new Kvm(before).create('kept')).put('key', 'value');
  await server.restart();
  assert.is(server.url, url);
  const after = await connect({ servers: url });
  const kept = await new Kvm(after).open('kept');
  assert.is((await kept.get('key'))?.string(), 'value');
  await after.close();
});

test('asks for the token and for TLS, if it has to', async () => {
  await using server = await NatsServer.start({ token: 'right', tls: true, jetstream: false });
  const tls = { caFile: certificate };
  try {
    await connect({ servers: server.url, token: 'wrong', tls, reconnect: false });
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /authorization violation/i);
  }
  await (await connect({ servers: server.url, token: 'right', tls })).close();
});

it.run();
