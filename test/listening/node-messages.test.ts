/**
 * What Node's own code in a replica says to Node's own primary, a test for each kind of message: all of it passes, and means
 * what it means to a plain cluster. What does not pass is answered, counted and said.
 */

import cluster, { type Worker } from 'node:cluster';
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { type Balancer, balance, type Supervisor } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { pidAt, upPids } from '../support/gate.js';
import { next, until } from '../support/helpers.js';
import { answers, ask, HOST, type Listening, listeners, listenIn, portOfAll } from '../support/listening.js';
import { Folder } from '../support/processes.js';

type Bound = { port: number; error?: Listening['error'] };

let supervisor: Supervisor;
let pool: Balancer;
let pid: number;
let worker: Worker;

const said: string[] = [];
const warn = (_: object, text: string): number => said.push(text);
const log = { info() {}, warn, error: warn };

test.before(async () => {
  supervisor = await listeners({ log });
  pool = await balance(supervisor, 'pool');
  pid = pidAt(upPids(supervisor), 0);
  worker = Object.values(cluster.workers ?? {}).find((one) => one?.process.pid === pid) as Worker;
});

test.after(async () => {
  said.length = 0;
  await supervisor.close();
  assert.equal(said, [], 'an orderly end, also of one that has given a connection away');
});

test.after.each(() => {
  assert.is(pool.stats().malformed, 0);
});

/** A port that nobody has now. */
async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

test('queryServer of dgram: whatever a script may bind is bound as Node takes it', async () => {
  for (const bind of [[], [null], [{}], [{ address: HOST }], ['0'], ['nonsense']]) {
    const { port, error } = await ask<Bound>(pid, 'datagram', { bind });
    assert.ok(port > 0, `bind(${JSON.stringify(bind)}): ${error?.message ?? port}`);
    await ask(pid, 'close', { key: 'datagram' });
  }
  const wanted = await freePort();
  for (const port of [wanted, `${wanted}`, wanted + 0.5, wanted - 65_536, wanted + 65_536]) {
    const { port: bound, error } = await ask<Bound>(pid, 'datagram', { bind: [{ port, address: HOST }] });
    assert.is(bound, wanted, `port ${port}: ${error?.message}`);
    await ask(pid, 'close', { key: 'datagram' });
  }
});

test('queryServer of net: any backlog that a script may give', async () => {
  for (const backlog of [0, -1, 1.5, '100', 'many', 2 ** 40, true]) {
    const { error, address } = await listenIn(pid, { port: 0, backlog });
    assert.is(error, undefined, `backlog ${backlog}: ${error?.message}`);
    assert.equal(await answers(address.port, 1), [pid]);
    await ask(pid, 'close');
  }
});

test('queryServer of net: paths, relative and abstract ones too', async () => {
  using folder = new Folder();
  const paths = [folder.at('socket'), `${folder.at('.')}/./other`, `\0ballermann-${process.pid}`];
  for (const path of paths) {
    const { error } = await listenIn(pid, { path, host: undefined });
    assert.is(error, undefined, `${path}: ${error?.message}`);
    await ask(pid, 'close');
  }
  const { error } = await listenIn(pid, { path: process.cwd(), host: undefined });
  assert.is(error?.code, 'EADDRINUSE', 'the folder that the primary is in, whose relative path is empty');
});

test('online, listening and close reach the application', async () => {
  const listening = next<[{ port: number }]>(worker, 'listening');
  const { address } = await listenIn(pid, { port: 0 });
  const [{ port }] = await listening;
  assert.is(port, address.port);
  assert.is(worker.isConnected(), true);
  await ask(pid, 'close');
  await until(
    () =>
      answers(address.port, 1).then(
        () => false,
        (error) => error.code === 'ECONNREFUSED',
      ),
    'the close to close the socket',
  );
});

test('NODE_HANDLE: each kind of handle that this Node can send arrives', async () => {
  const got: [name: string, handle: unknown][] = [];
  const note = ({ handle: name }: { handle?: string }, handle: unknown): void => {
    if (name !== undefined) got.push([name, handle]);
  };
  worker.on('message', note);
  const sent = await ask<string[]>(pid, 'handles');
  await until(
    () => got.length === sent.length,
    () => `${sent.join(', ')}; got ${got.map(([name]) => name).join(', ')}`,
  );
  worker.off('message', note);
  for (const [name, handle] of got) {
    assert.ok(handle, name);
    const { close, destroy } = handle as {
      close?: Server['close'] | Datagrams['close'];
      destroy?: Socket['destroy'];
    };
    Reflect.apply((destroy ?? close) as () => void, handle, []);
  }
  assert.is(await ask(pid, 'connections', { key: await keyOfNew() }), 0, 'and its channel goes on');
});

async function keyOfNew(): Promise<string> {
  const key = 'after handles';
  await listenIn(pid, { port: 0 }, { key });
  return key;
}

test('the answer to newconn, by which a sticky replica takes a connection', async () => {
  await using sticky = await listeners({ sticky: true, replicas: 1 });
  await using own = await balance(sticky, 'sticky');
  const port = await portOfAll(sticky);
  assert.equal(await answers(port, 3), Array(3).fill(pidAt(upPids(sticky), 0)));
  assert.is(own.stats().malformed, 0);
});

test('exitedAfterDisconnect, by which a worker leaves by itself', async () => {
  await using leaving = await listeners({ replicas: 1, restart: 'temporary' });
  await using own = await balance(leaving, 'leaving');
  const down = next<[{ code: number }]>(leaving, 'down');
  void ask(pidAt(upPids(leaving), 0), 'disconnect').catch(() => {});
  assert.is((await down)[0].code, 0);
  assert.is(own.stats().malformed, 0);
});

test('what Node’s primary cannot take fails in its replica, is counted, and is said once', async () => {
  said.length = 0;
  await using hostile = await listeners({ replicas: 1, listen: 'node', log });
  await using own = await balance(hostile, 'hostile');
  const sender = pidAt(upPids(hostile), 0);
  const { error } = await listenIn(sender, { path: process.cwd(), host: undefined });
  assert.is(error?.code, 'EINVAL');
  assert.match(error?.message ?? '', `listen EINVAL: invalid argument ${process.cwd()}`);
  await ask(sender, 'hostile', { messages: [{ act: 'queryServer', port: 70_000, addressType: 4 }] });
  await until(() => own.stats().malformed === 2, 'two to be counted');
  // Node asserts that nobody asks for one socket twice; whatever is no descriptor says nothing of which it is.
  const socket = { act: 'queryServer', addressType: 'udp4', port: 0, index: 7 };
  const again = [undefined, null, -1, -7, 'no', Number.NaN].map((fd, i) => ({ ...socket, fd, seq: 1e6 + i }));
  await ask(sender, 'hostile', { messages: again });
  await until(() => own.stats().malformed === 2 + again.length - 1, 'all but the first to be counted');
  assert.is(said.length, 1, said.join('\n'));
  assert.match(
    said[0] ?? '',
    `(pid ${sender}) asked for a socket whose address is "${process.cwd()}": Node cannot do that`,
  );
});

test.run();
