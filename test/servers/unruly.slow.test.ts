/** Whatever clients and handlers do: each request is counted once and given back once, and nobody else notices. */

import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectSecurely } from 'node:tls';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Frames } from '../support/frames.js';
import { watch } from '../support/gate.js';
import { downOf, next, until } from '../support/helpers.js';
import { later, openFiles } from '../support/processes.js';
import { Unruly } from '../support/unruly.js';
import { ask, certificate, Raw, Session2, slotWord } from '../support/web.js';

/** So long a test waits where nothing can say that something has been read, and where it looks that nothing happens. */
const A_WHILE = 150;

/** A session whose socket the test has, and which may fail. */
function session2(port: number): { session: ClientHttp2Session; socket: Socket } {
  const socket = connect(port, '127.0.0.1');
  const session = connectHttp2(`http://127.0.0.1:${port}`, { createConnection: () => socket });
  session.on('error', () => {});
  return { session, socket };
}

function opened(port: number): Promise<Raw> {
  const raw = new Raw(port);
  return next(raw.socket, 'connect').then(() => raw);
}

const UPGRADE = ['Connection: Upgrade', 'Upgrade: echo'];

function socketsOf(pid: number): number {
  return openFiles(pid).filter(({ target }) => target.startsWith('socket:')).length;
}

test('HTTP/2 clients that go while their stream is held or refused harm nobody, in whichever way they go', async () => {
  await using replica = await Unruly.serve({ maxHeldRequests: 6 });
  const { pid } = replica;
  const ways: ((
    client: ReturnType<typeof session2>,
    stream: ReturnType<ClientHttp2Session['request']>,
  ) => void)[] = [
    ({ socket }) => socket.resetAndDestroy(),
    ({ session }) => session.destroy(),
    ({ session }) => session.goaway(constants.NGHTTP2_INTERNAL_ERROR),
    ...[
      constants.NGHTTP2_NO_ERROR,
      constants.NGHTTP2_CANCEL,
      constants.NGHTTP2_INTERNAL_ERROR,
      constants.NGHTTP2_REFUSED_STREAM,
      constants.NGHTTP2_ENHANCE_YOUR_CALM,
    ].map(
      (code) => (_client: unknown, stream: ReturnType<ClientHttp2Session['request']>) => stream.close(code),
    ),
  ];
  for (const name of ['compat', 'streams'] as const) {
    const clients = ways.map(() => session2(replica.port(name)));
    await Promise.all(clients.map(({ session }) => next(session, 'remoteSettings')));
    const window = await replica.window();
    const streams = clients.map(({ session }) => session.request({ ':path': '/goes', ':method': 'POST' }));
    for (const stream of streams) stream.on('error', () => {}).resume();
    await sleep(A_WHILE);
    for (const [i, go] of ways.entries()) go(clients[i] as never, streams[i] as never);
    // Their places are free: as many again are held, and not refused.
    await sleep(2 * A_WHILE);
    using staying = new Session2(replica.port(name));
    const answers = later(Promise.all([1, 2, 3, 4, 5, 6].map(() => staying.ask('/stays'))));
    const state = watch(answers);
    await sleep(A_WHILE);
    assert.not(state.settled, name);
    await window.end();
    for (const { status } of await answers) assert.is(status, 200);
    for (const { session } of clients) session.destroy();
  }
  assert.not(replica.diary.read().includes('asked /goes'));
  await replica.isWell();
  assert.is(replica.pid, pid);
});

test('upgrades that are refused or held end with their clients, in whichever way those go; no socket stays', async () => {
  await using replica = await Unruly.serve({ maxHeldRequests: 4 });
  const port = replica.port('http');
  const before = socketsOf(replica.pid);
  const clients = await Promise.all(Array.from({ length: 12 }, () => opened(port)));
  await until(() => socketsOf(replica.pid) >= before + 12, 'the connections');
  const window = await replica.window();
  for (const [i, client] of clients.entries()) {
    client.get('/goes', ...UPGRADE);
    if (i === 5) client.socket.resetAndDestroy(); // at once
  }
  await until(
    () => clients.filter(({ received }) => received.includes('503')).length >= 7,
    'those that are refused',
  );
  clients.forEach(({ socket, received }, i) => {
    if (i % 3 === 0) socket.resetAndDestroy();
    else if (i % 3 === 1) socket.write('early', () => socket.resetAndDestroy());
    else if (!received.includes('503')) socket.end();
  }); // else nothing: it stays open on their side
  await until(
    () => socketsOf(replica.pid) <= before,
    () => `${socketsOf(replica.pid) - before} sockets to close`,
  );
  // The four places of those that were held are free.
  const next4 = await Promise.all(Array.from({ length: 4 }, () => opened(port)));
  for (const client of next4) client.get('/stays', ...UPGRADE);
  await sleep(A_WHILE);
  await window.end();
  await until(() => next4.every(({ received }) => received.includes(' 101 ')), 'the upgrades');
  for (const client of [...clients, ...next4]) client.socket.destroy();
  assert.not(replica.diary.read().includes('upgraded /goes'));
  await replica.isWell();
});

test('pipelined requests of a client that has gone leave their places to others', async () => {
  await using replica = await Unruly.serve({ maxHeldRequests: 3 });
  const port = replica.port('http');
  const window = await replica.window();
  const gone = await opened(port);
  for (let i = 0; i < 3; i++) gone.get('/goes');
  await sleep(A_WHILE);
  gone.socket.destroy();
  await sleep(A_WHILE);
  const answers = [1, 2, 3].map(() => later(ask(port, '/stays')));
  await sleep(A_WHILE);
  assert.is((await ask(port, '/refused')).status, 503);
  await window.end();
  for (const { status } of await Promise.all(answers)) assert.is(status, 200);
  assert.not(replica.diary.read().includes('asked /goes'));
  await replica.isWell();
});

test('a request whose end Node tells nobody is given back, and the replica stops in order', async () => {
  const replica = await Unruly.serve();
  try {
    // HTTP/2 bodies that are not read to their end: the session stays, the upload has ended or never does.
    const sessions: ClientHttp2Session[] = [];
    for (const name of ['compat', 'streams'] as const) {
      for (const [path, size, ends] of [
        ['/', 40_000, true],
        ['/', 100_000, false],
        ['/drains', 10, false],
      ] as const) {
        if (name === 'streams' && path === '/drains') continue;
        const { session } = session2(replica.port(name));
        sessions.push(session);
        const stream = session.request({ ':path': path, ':method': 'POST' });
        stream.on('error', () => {}).resume();
        const answered = next(stream, 'response');
        stream.write(Buffer.alloc(size));
        if (ends) stream.end();
        await answered;
      }
    }
    await replica.isWell();
    for (const session of sessions.slice(1)) session.destroy();
    // HTTP/1.1: listeners removed, sockets detached.
    for (const path of ['/removes', '/strips', '/detaches'])
      assert.is((await ask(replica.port('http'), path)).status, 200);
    await replica.isWell();
    const silent = await opened(replica.port('http'));
    silent.get('/strips-and-never-answers');
    await replica.diary.has('asked /strips-and-never-answers');
    silent.socket.destroy();
    // A session that has ended for an error of its client's, which Node 20 forgets.
    for (const name of ['compat', 'streams'] as const) {
      const failing = new Frames(replica.port(name));
      failing.get(1, '/drains');
      failing.get(3, '/never');
      await replica.diary.has('asked /never');
      failing.fail();
      await until(() => failing.goaways.length === 1, 'GOAWAY');
      failing.socket.end();
    }
    await replica.isWell();
    const upgraded = await opened(replica.port('http'));
    upgraded.get('/removes', ...UPGRADE);
    await until(() => upgraded.received.includes(' 101 '), 'the upgrade');
    upgraded.socket.destroy();
    await replica.isWell();
    // One session is open still, with a stream that Node never closes.
    const down = downOf(replica.supervisor, replica.pid);
    const began = performance.now();
    await replica.supervisor.close();
    const { code, signal } = await down;
    assert.equal({ code, signal }, { code: 0, signal: null });
    assert.ok(performance.now() - began < 2_400, 'long before half of the time to stop');
    sessions[0]?.destroy();
  } finally {
    await replica[Symbol.asyncDispose]();
  }
});

test("Node's time limits do not run while a request is held", async () => {
  await using replica = await Unruly.serve();
  const port = replica.port('impatient');
  const waiting = await opened(port);
  const uploading = await opened(port);
  const window = await replica.window();
  waiting.get('/'); // nothing moves on it: the time limit of the socket
  uploading.send('POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n');
  uploading.send('.'.repeat(99_990)); // its body is not read: that of requests
  const idle = await opened(port);
  await until(() => idle.ended, 'the end of a connection on which nothing is held');
  await sleep(400);
  assert.equal([waiting.received, uploading.received], ['', '']);
  await window.end();
  uploading.send('.'.repeat(10));
  for (const raw of [waiting, uploading])
    await until(
      () => raw.received.includes(' 200 OK'),
      () => `an answer, not ${raw.received}`,
    );
  waiting.socket.destroy();
  uploading.socket.destroy();
});

test('a WebSocket over HTTP/2 waits for the end of a window, does not keep one, and ends with the replica', async () => {
  const replica = await Unruly.serve({ shutdown: 2_000 });
  try {
    const { session } = session2(replica.port('streams'));
    await next(session, 'remoteSettings');
    const window = await replica.window();
    const tunnel = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/talks' });
    tunnel.on('error', () => {});
    const responded = next(tunnel, 'response');
    await sleep(A_WHILE);
    assert.not(replica.diary.read().includes('asked /talks'));
    await window.end();
    await responded;
    const echo = next<[Buffer]>(tunnel, 'data');
    tunnel.write('hello');
    assert.is(String((await echo)[0]), 'hello');
    await replica.isWell();
    const down = downOf(replica.supervisor, replica.pid);
    const began = performance.now();
    const stopped = later(replica.supervisor.close());
    await replica.diary.has('hook close'); // hooks do not wait for it
    const again = next<[Buffer]>(tunnel, 'data');
    tunnel.write('still there');
    assert.is(String((await again)[0]), 'still there');
    await stopped;
    const took = performance.now() - began;
    assert.ok(took >= 999, `it had half of the time to stop, not ${took} ms`);
    assert.is((await down).signal, null);
    session.destroy();
  } finally {
    await replica[Symbol.asyncDispose]();
  }
});

test('a stop finds an HTTP/2 session that has failed, over TLS, whose client reads nothing', async () => {
  const replica = await Unruly.serve({ shutdown: 4_000 });
  try {
    const port = replica.port('both');
    const socket = connectSecurely({ ...certificate, port, host: '127.0.0.1', ALPNProtocols: ['h2'] });
    socket.on('error', () => {}).pause();
    await next(socket, 'secureConnect');
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(Buffer.from(`000006040000000000${'00047fffffff'}`, 'hex')); // each stream may send as much as it likes
    socket.write(Buffer.from(`000004080000000000${'7fff0000'}`, 'hex')); // and so may the session
    const fields = Buffer.from('localhost\x04\x06/fails', 'latin1');
    const head = Buffer.concat([Buffer.of(0x82, 0x87, 0x01, 9), fields]); // GET, https, :authority, :path
    socket.write(Buffer.concat([Buffer.of(0, 0, head.length, 1, 5, 0, 0, 0, 1), head]));
    await replica.diary.has('destroyed');
    const down = downOf(replica.supervisor, replica.pid);
    await replica.supervisor.close();
    assert.equal(await down.then(({ code, signal }) => [code, signal]), [0, null]);
    socket.destroy();
  } finally {
    await replica[Symbol.asyncDispose]();
  }
});

test('a head that came in part, in one packet with another request or on TLS, is a request under way', async () => {
  await using replica = await Unruly.serve({ shutdown: 6_000 });
  const client = await opened(replica.port('http'));
  client.send('GET /first HTTP/1.1\r\nHost: localhost\r\n\r\nGET /second HTTP/1.1\r\nHost: loc');
  await until(() => client.received.includes('\r\n\r\nok'), 'the first answer');
  const silent = await opened(replica.port('http'));
  const stopped = later(replica.supervisor.close());
  await until(() => silent.ended, 'the end of a connection without a byte');
  await sleep(500); // twice as long as a quiet connection has
  assert.not(client.ended);
  client.send('alhost\r\n\r\n');
  await until(() => client.ended, 'the end');
  assert.is(client.received.split(' 200 OK').length - 1, 2);
  await stopped;
});

for (const name of ['http', 'https'] as const) {
  test(`${name} behind a server that looks at the first bytes, and on a Duplex, has three quarters of the time to stop`, async () => {
    await using replica = await Unruly.serve({ shutdown: 2_000, env: { SLOW: '1300' } });
    const options = name === 'https' ? { protocol: 'https:', ...certificate } : {};
    const slow = (['sniffing', 'duplex'] as const).map((server) =>
      later(ask(replica.port(server), '/slow', options)),
    );
    await replica.diary.has('asked /slow', 2);
    const idle = new Raw(replica.port('duplex'));
    idle.get('/');
    await until(() => idle.received.includes('200 OK'), 'an answer on a Duplex');
    const down = downOf(replica.supervisor, replica.pid);
    const stopped = replica.supervisor.close();
    for (const { status } of await Promise.all(slow)) assert.is(status, 200);
    await stopped;
    assert.equal(await down.then(({ code, signal }) => [code, signal]), [0, null]);
    idle.socket.destroy();
  });
}

test('a file that HTTP/2 sends is a request under way, in a window and at a stop', async () => {
  const replica = await Unruly.serve({ shutdown: 8_000 });
  try {
    const { session } = session2(replica.port('streams'));
    const asks = async (): Promise<{ whole: () => Promise<number> }> => {
      const stream = session.request({ ':path': '/file' });
      await next(stream, 'response'); // and reads nothing yet
      return { whole: async () => (await buffer(stream)).length };
    };
    const first = await asks();
    const opening = later(replica.window());
    const state = watch(opening);
    await sleep(600); // twice as long as it takes to find what is over without an event
    assert.not(state.settled);
    assert.is(await first.whole(), 2 ** 23);
    await (await opening).end();
    const second = await asks();
    const down = downOf(replica.supervisor, replica.pid);
    const stopped = later(replica.supervisor.close());
    await sleep(600); // twice as long as a quiet connection has
    assert.is(await second.whole(), 2 ** 23);
    await stopped;
    assert.equal(await down.then(({ code, signal }) => [code, signal]), [0, null]);
  } finally {
    await replica[Symbol.asyncDispose]();
  }
});

test('what a server passes on to another one is counted once', async () => {
  await using replica = await Unruly.serve();
  const { session } = session2(replica.port('streams'));
  const stream = session.request({ ':path': '/passes' });
  assert.is((await next<[{ ':status': number }]>(stream, 'response'))[0][':status'], 200);
  const upgraded = await opened(replica.port('http'));
  upgraded.get('/passes', ...UPGRADE);
  await until(() => upgraded.received.includes(' 101 '), 'the upgrade');
  const compat = session2(replica.port('compat'));
  const tunnel = compat.session.request({ ':method': 'CONNECT', ':authority': 'localhost:80' });
  assert.is((await next<[{ ':status': number }]>(tunnel, 'response'))[0][':status'], 405);
  assert.is(slotWord('slotBegun'), 3);
  for (const { socket } of [upgraded, compat]) socket.destroy();
  session.destroy();
  await replica.isWell();
});

test('at a stop, what waits behind another answer is answered, and a server that is closed already is left alone', async () => {
  const replica = await Unruly.serve({ shutdown: 4_000, env: { SLOW: '2200' } });
  try {
    const behind = await opened(replica.port('http'));
    behind.get('/slow');
    behind.get('/');
    using _open = await opened(replica.port('impatient')); // keeps its server from its end
    await ask(replica.port('impatient'), '/closes');
    await replica.diary.has('asked /slow');
    const down = downOf(replica.supervisor, replica.pid);
    const stopped = later(replica.supervisor.close());
    await until(() => behind.ended, 'the end of the pipeline');
    assert.is(behind.received.split(' 200 OK').length - 1, 2);
    await stopped;
    assert.equal(await down.then(({ code, signal }) => [code, signal]), [0, null]);
  } finally {
    await replica[Symbol.asyncDispose]();
  }
});

test('a TLS handshake that is under way when a stop begins is waited for', async () => {
  await using replica = await Unruly.serve();
  using shaking = await opened(replica.port('both'));
  await sleep(A_WHILE);
  const stopped = later(replica.supervisor.close());
  await sleep(300); // more than a connection without a byte has
  const secured = connectSecurely({ ...certificate, socket: shaking.socket, ALPNProtocols: ['http/1.1'] });
  secured.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.match(await text(secured), /^HTTP\/1.1 200 OK\r\n.*Connection: close/s);
  await stopped;
});

test("the script's own clean-up finds its server as Node documents it", async () => {
  const replica = await Unruly.serve({ listen: 'balanced', env: { CLEANUP: 'yes' } });
  try {
    const down = downOf(replica.supervisor, replica.pid);
    await replica.supervisor.close();
    assert.equal(await down.then(({ code, signal }) => [code, signal]), [0, null]);
    const closed = (how: string, ...seen: string[]) => [
      `${how} true true`,
      ...seen,
      `event close ${how}`,
      `${how} false null`,
    ];
    assert.equal(
      replica.diary.read().slice(1).sort(),
      [
        'hook close',
        ...closed('once'),
        ...closed('callback', 'called back true undefined'),
        ...closed('promisify'),
        ...closed('dispose'),
        ...closed('all'),
        ...closed('twice', 'ERR_SERVER_NOT_RUNNING', 'event close twice'), // Node tells it each time
        ...closed('subclass', 'close of the subclass'),
        'late true ECONNREFUSED', // as 'listening' has it, though it will get no connection
        'none true true',
        'none true [object Object]',
        'event close none', // as Node closes what is left where a worker disconnects
      ].sort(),
    );
  } finally {
    await replica[Symbol.asyncDispose]();
  }
});

test.run();
