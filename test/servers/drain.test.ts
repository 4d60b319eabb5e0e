/** The end of a replica that serves: what has been asked is answered, and connections end without cutting anything off. */

import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { stopped } from '../support/failing.js';
import { Frames } from '../support/frames.js';
import { watch } from '../support/gate.js';
import { downOf, next, until } from '../support/helpers.js';
import { later } from '../support/processes.js';
import { type Answer, ask, certificate, KeepAlive, type Kind, Raw, Session2, Web } from '../support/web.js';

/** Waits until the server accepts nothing any more. */
async function stopsAccepting(web: Web): Promise<void> {
  await until(
    () =>
      ask(web.port, '/probe').then(
        () => false,
        () => true,
      ),
    'the server to stop accepting',
  );
}

for (const kind of ['http', 'https', 'express', 'fastify'] as Kind[]) {
  test(`${kind}: requests under way are answered in full with Connection: close, and the hooks run after them`, async () => {
    await using web = await Web.serve(kind, { replicas: 2 });
    const [stays, goes] = web.pids() as [number, number];
    const clients: KeepAlive[] = [];
    const client = () => {
      clients.push(new KeepAlive(web.port, kind === 'https'));
      return clients.at(-1) as KeepAlive;
    };
    try {
      const begun: Promise<Answer>[] = [];
      const waiting: Promise<Answer>[] = [];
      // Who accepts is nobody's promise: both replicas shall have both.
      const has = (path: string) =>
        [stays, goes].every((pid) => web.diary.read(pid).includes(`asked ${path}`));
      while (!has('/slow')) {
        begun.push(later(client().ask('/slow')));
        await web.diary.has('asked /slow', begun.length);
      }
      while (!has('/late')) {
        waiting.push(later(client().ask('/late')));
        await web.diary.has('asked /late', waiting.length);
      }
      const down = downOf(web.supervisor, goes);
      const resized = later(web.supervisor.resize(1));
      await until(() => web.supervisor.children()[1]?.state === 'stopping', 'the replica to be stopping');
      await sleep(300);
      assert.not(web.diary.read(goes).includes('hook resize'), 'no hook before the last request has ended');
      web.folder.open('gate');
      for (const { status, body } of await Promise.all(begun)) {
        assert.is(status, 200);
        assert.match(body, /^\d+ begins ends$/);
      }
      for (const { body, headers } of await Promise.all(waiting))
        assert.is(headers.connection, Number(body) === goes ? 'close' : 'keep-alive');
      await resized;
      const { code, signal } = await down;
      assert.equal({ code, signal }, { code: 0, signal: null });
      assert.equal(web.diary.read(goes).slice(-2), ['hook resize', 'closed']);
      assert.equal(web.pids(), [stays]);
    } finally {
      for (const each of clients) each[Symbol.dispose]();
    }
  });
}

test('a request on an open connection is still answered, and says that the connection ends', async () => {
  await using web = await Web.serve('http');
  using busy = new KeepAlive(web.port);
  using idle = new KeepAlive(web.port);
  await Promise.all([busy.ask(), idle.ask()]);
  const slow = later(busy.ask('/slow'));
  await web.diary.has('asked /slow');
  const began = performance.now();
  const closed = web.supervisor.close();
  await until(async () => {
    const { status, headers } = await idle.ask('/at-the-end');
    assert.is(status, 200);
    return headers.connection === 'close';
  }, 'an answer that says so');
  web.folder.open('gate');
  assert.match((await slow).body, /ends$/);
  await closed;
  assert.ok(performance.now() - began < 4_000, 'long before SIGKILL');
});

test('idle connections end soon, those that have never asked for anything too', async () => {
  await using web = await Web.serve('http');
  using client = new KeepAlive(web.port);
  using silent = new Raw(web.port);
  await next(silent.socket, 'connect');
  await client.ask();
  const slow = later(ask(web.port, '/slow'));
  await web.diary.has('asked /slow');
  const closed = web.supervisor.close();
  await until(() => silent.ended && !client.isIdle, 'both connections to end', 3_000);
  web.folder.open('gate');
  assert.match((await slow).body, /ends$/);
  await closed;
});

test('a head that has come in part is a request under way', async () => {
  await using web = await Web.serve('http');
  using client = new Raw(web.port);
  client.send('GET /in-part HTTP/1.1\r\nHost: loc');
  await ask(web.port); // the part has been read as well
  await sleep(50);
  const closed = web.supervisor.close();
  await stopsAccepting(web);
  await sleep(300);
  client.send('alhost\r\n\r\n');
  await until(() => client.ended, 'the end of the connection');
  assert.match(client.received, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(client.received, /\r\nConnection: close\r\n/);
  await closed;
});

test('… on a kept connection too; one that never ends is given up after a quarter of the time', async () => {
  await using web = await Web.serve('http', { shutdown: 4_000 });
  using kept = new Raw(web.port);
  using endless = new Raw(web.port);
  const both = [kept, endless];
  const answers = (client: Raw) => client.received.split('HTTP/1.1 200 OK').length - 1;
  for (const client of both) client.get('/');
  await until(() => both.every((client) => answers(client) === 1), 'the first answers');
  for (const client of both) client.send('GET /in-part HTTP/1.1\r\nHost: loc');
  await ask(web.port); // the parts have been read as well
  await sleep(50);
  const down = downOf(web.supervisor, web.pids()[0] as number);
  const began = performance.now();
  const closed = web.supervisor.close();
  await stopsAccepting(web);
  await sleep(600); // more than twice as long as a quiet connection has
  assert.not(both.some(({ ended }) => ended));
  kept.send('alhost\r\n\r\n');
  await until(() => kept.ended, 'its end');
  assert.is(answers(kept), 2);
  assert.match(kept.received, /\r\nConnection: close\r\n/);
  await closed;
  assert.ok(endless.ended);
  assert.ok(performance.now() - began >= 999);
  assert.equal(await down.then(({ code, signal }) => [code, signal]), [0, null]);
});

test('pipelined requests are all answered before the connection ends', async () => {
  await using web = await Web.serve('http');
  using client = new Raw(web.port);
  client.get('/late');
  client.get('/late');
  await web.diary.has('asked /late', 2);
  const closed = web.supervisor.close();
  await stopsAccepting(web);
  client.get('/late');
  await web.diary.has('asked /late', 3);
  web.folder.open('gate');
  await until(() => client.ended, 'the end of the connection');
  assert.is(client.received.split('HTTP/1.1 200').length, 4);
  await closed;
});

for (const kind of ['http2', 'streams'] as Kind[]) {
  test(`${kind}: an HTTP/2 session ends when its streams have`, async () => {
    await using web = await Web.serve(kind);
    using client = new Session2(web.port);
    using idle = new Session2(web.port);
    await idle.ask();
    const slow = later(client.ask('/slow'));
    await web.diary.has('asked /slow');
    const down = downOf(web.supervisor, web.pids()[0] as number);
    const goaway = next(client.session, 'goaway');
    const closed = web.supervisor.close();
    await goaway;
    await until(() => idle.session.closed, 'the idle session to end', 3_000);
    await sleep(200);
    web.folder.open('gate');
    assert.match((await slow).body, /^\d+ begins ends$/);
    await closed;
    assert.is((await down).signal, null);
  });
}

for (const kind of ['http2', 'streams'] as Kind[]) {
  test(`${kind}: GOAWAY comes twice, and refuses nothing that was sent before it could be known`, async () => {
    await using web = await Web.serve(kind);
    using client = new Frames(web.port);
    client.get(1, '/late');
    await web.diary.has('asked /late');
    const closed = web.supervisor.close();
    await until(() => client.goaways.length === 1, 'the first GOAWAY');
    client.get(3, '/');
    client.get(5, '/late');
    await web.diary.has('asked /late', 2);
    await until(() => client.answered.includes(3), 'the answer of a stream that came after it');
    web.folder.open('gate');
    await until(() => client.ended, 'the end of the connection');
    assert.equal(client.answered.sort(), [1, 3, 5]);
    assert.equal([...new Set(client.goaways)], [2 ** 31 - 1, 5]);
    await closed;
  });
}

test('http2s: GOAWAY says what has been begun, which is finished; what comes later may be sent again', async () => {
  await using web = await Web.serve('http2s');
  using client = new Frames(web.port, certificate);
  client.get(1, '/late');
  await web.diary.has('asked /late');
  const closed = web.supervisor.close();
  await until(() => client.goaways.length === 1, 'the first GOAWAY');
  client.get(3, '/not begun');
  web.folder.open('gate');
  await until(() => client.ended, 'the end of the connection');
  assert.equal(client.answered, [1]);
  assert.equal([...new Set(client.goaways)], [1]);
  await closed;
  assert.not(web.diary.read().includes('asked /not begun'));
});

test('a session that begins when the replica stops has SETTINGS first, and then GOAWAY', async () => {
  await using web = await Web.serve('front');
  const socket = connect(web.port, '127.0.0.1');
  await web.diary.has('connected');
  const down = downOf(web.supervisor, web.pids()[0] as number);
  const closed = later(web.supervisor.close());
  await stopsAccepting(web);
  const session = connectHttp2(`http://127.0.0.1:${web.port}`, { createConnection: () => socket });
  session.on('error', () => {});
  const goaway = later(next<[number, number]>(session, 'goaway'));
  const stream = session.request({ ':path': '/' });
  const [headers] = await next<[IncomingHttpHeaders]>(stream, 'response');
  assert.is(headers[':status'], 200);
  assert.is((await goaway)[1], 2 ** 31 - 1);
  stream.resume();
  await closed;
  assert.is((await down).signal, null);
});

test('… and is ended when nothing comes on it', async () => {
  await using web = await Web.serve('front', { shutdown: 3_000 });
  using client = new Raw(web.port);
  await web.diary.has('connected');
  const down = downOf(web.supervisor, web.pids()[0] as number);
  const closed = later(web.supervisor.close());
  await stopsAccepting(web);
  await sleep(50); // looked at once as a connection that is not HTTP
  client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');
  await until(() => client.received !== '', 'the SETTINGS of the server');
  await closed;
  assert.is((await down).signal, null);
});

test('a session whose client has sent much and gone before the replica reads it ends alone', async () => {
  await using web = await Web.serve('http2');
  using told = new Frames(web.port);
  using client = new Frames(web.port);
  client.acknowledges = false;
  told.get(1, '/late');
  client.get(1, '/late');
  await web.diary.has('asked /late', 2);
  const [pid] = web.pids() as [number];
  const down = downOf(web.supervisor, pid);
  const closed = later(web.supervisor.close());
  await until(() => told.goaways.length === 1, 'the first GOAWAY');
  await stopped(pid);
  client.socket.setNoDelay(); // else the reset overtakes all but the first frame
  client.acknowledge();
  for (const stream of [3, 5, 7]) client.post(stream, '/');
  await new Promise((sent) => client.socket.write('', sent));
  client.socket.resetAndDestroy();
  await next(client.socket, 'close');
  process.kill(pid, 'SIGCONT');
  web.folder.open('gate');
  await closed;
  const { code, signal } = await down;
  assert.equal({ code, signal }, { code: 0, signal: null });
  assert.equal(told.answered, [1]);
});

test('WebSockets of ws are told that the service restarts', async () => {
  await using web = await Web.serve('ws');
  const socket = new WebSocket(`ws://127.0.0.1:${web.port}`);
  await next(socket, 'open');
  const began = performance.now();
  const closed = web.supervisor.close();
  const [code] = await next<[number]>(socket, 'close');
  assert.is(code, 1012);
  await closed;
  assert.ok(performance.now() - began < 2_400, 'before half of the time to stop');
  assert.ok(web.diary.read().includes('closed 1012'));
});

test('upgraded connections of other protocols are ended after half of the time to stop', async () => {
  await using web = await Web.serve('upgrade', { shutdown: 1_000 });
  using client = new Raw(web.port);
  client.get('/', 'Connection: Upgrade', 'Upgrade: echo');
  await web.diary.has('upgraded');
  const down = downOf(web.supervisor, web.pids()[0] as number);
  const began = performance.now();
  const closed = web.supervisor.close();
  await web.diary.has('hook close');
  client.send('still there');
  await until(() => client.received.endsWith('still there'), 'an echo while stopping');
  await until(() => client.ended, 'the end of the connection');
  assert.ok(performance.now() - began >= 499);
  await closed;
  assert.is((await down).signal, null);
});

test('hooks do not wait for ever for a request that never ends', async () => {
  await using web = await Web.serve('http', { shutdown: 800 });
  const cut = later(ask(web.port, '/slow').catch((error: Error) => error));
  await web.diary.has('asked /slow');
  const down = downOf(web.supervisor, web.pids()[0] as number);
  const began = performance.now();
  const closed = later(web.supervisor.close());
  await web.diary.has('hook close');
  assert.ok(performance.now() - began >= 599);
  await closed;
  assert.is((await down).signal, 'SIGKILL');
  assert.instance(await cut, Error);
});

test('what is held when the replica is told to stop runs at the end of the window', async () => {
  await using web = await Web.serve('http', { listen: 'node' }); // takes connections in a window too
  const window = await web.window();
  using client = new KeepAlive(web.port);
  const held = later(Promise.all([client.ask('/held'), ask(web.port, '/held')]));
  await sleep(100);
  const closed = web.supervisor.close();
  const state = watch(closed);
  await sleep(300);
  assert.not(state.settled);
  assert.equal(web.diary.read(), []);
  await window.end();
  for (const { status, headers } of await held)
    assert.equal({ status, connection: headers.connection }, { status: 200, connection: 'close' });
  await closed;
  assert.equal(web.diary.read(), ['asked /held', 'asked /held', 'hook close', 'closed']);
});

test('what is held by a window that lasts until the end is answered with 503', async () => {
  await using web = await Web.serve('http', { listen: 'node', shutdown: 3_000, maxHoldTime: 60_000 });
  const window = await web.window();
  const held = later(ask(web.port, '/held'));
  await sleep(100);
  const down = downOf(web.supervisor, web.pids()[0] as number);
  const closed = web.supervisor.close();
  assert.is((await held).status, 503);
  await closed;
  await window.end();
  assert.is((await down).signal, null);
  assert.equal(web.diary.read(), ['hook close', 'closed']);
});

/**
 * Node's round robin hands a connection over by a message and learns only from the answer whether it was taken. With
 * it and with balanced listening alike, nothing may be lost.
 */
for (const [what, keepAlive] of [
  ['connection a request', false],
  ['open connections', true],
] as const) {
  test(`resize down under load loses no request: one ${what}`, async () => {
    await using web = await Web.serve('http', { replicas: 4 });
    let over = false;
    const clients = Array.from({ length: 16 }, async () => {
      using client = new KeepAlive(web.port);
      const answers: Answer[] = [];
      while (!over) answers.push(keepAlive ? await client.ask() : await ask(web.port));
      return answers;
    });
    const load = later(Promise.all(clients));
    for (const replicas of [3, 1, 4, 1]) {
      const before = web.diary.read().length;
      await until(() => web.diary.read().length > before + 200, 'requests');
      await web.supervisor.resize(replicas);
    }
    over = true;
    const answers = (await load).flat();
    for (const { status } of answers) assert.is(status, 200);
    assert.ok(answers.length > 800);
  });
}

test.run();
