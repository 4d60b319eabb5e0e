/** The window, for servers: no request begins in it, none fails because of it, and a ping waits for those that run. */

import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectSecurely } from 'node:tls';
import { balance, ping, type SupervisorOptions } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { deferred, pidAt, watch } from '../support/gate.js';
import { next, until } from '../support/helpers.js';
import { later } from '../support/processes.js';
import {
  type Answer,
  ask,
  certificate,
  KeepAlive,
  type Kind,
  Raw,
  Session2,
  slotWord,
  Web,
  windowsAtFullSpeed,
} from '../support/web.js';

/** A request on a TLS connection of its own. */
async function overTls(
  port: number,
  session?: Buffer,
): Promise<{ body: string; session: Buffer; isReused: boolean }> {
  const socket = connectSecurely({ port, host: '127.0.0.1', ...certificate, ...(session && { session }) });
  const ticket = next<[Buffer]>(socket, 'session');
  await next(socket, 'secureConnect');
  const isReused = socket.isSessionReused();
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  const answer = await text(socket);
  return {
    body: answer.split('\r\n\r\n')[1]?.match(/\d{2,}/)?.[0] ?? '',
    session: session ?? (await ticket)[0],
    isReused,
  };
}

/** The replica has read all that was sent to it before: a request that came with it has been held by then. */
async function hasRead(web: Web): Promise<void> {
  for (let i = 0; i < 3; i++) await Promise.all(web.pids().map((pid) => ping(pid)));
  await sleep(50); // a connection goes by the primary, and bytes by the kernel: neither says when
}

/**
 * With balanced listening a connection that comes in a window waits in the backlog. So these have Node hand connections
 * over, to see what becomes of their requests.
 */
const byNode: Partial<SupervisorOptions> = { listen: 'node' };

for (const kind of ['http', 'express', 'fastify', 'koa', 'hono', 'ws', 'expect'] as Kind[]) {
  test(`${kind}: a request of an open connection waits for the end of the window`, async () => {
    await using web = await Web.serve(kind, byNode);
    using client = new KeepAlive(web.port);
    assert.is((await client.ask()).status, 200);
    const window = await web.window();
    web.folder.open('window');
    const answer = later(client.ask('/held'));
    const state = watch(answer);
    await hasRead(web);
    assert.not(state.settled);
    assert.not(web.diary.read().includes('asked /held'));
    web.folder.shut('window');
    await window.end();
    const { status, body } = await answer;
    assert.equal({ status, body }, { status: 200, body: String(web.pids()[0]) });
    assert.is((await client.ask()).status, 200, 'the connection goes on');
  });
}

for (const kind of ['http2', 'streams'] as Kind[]) {
  test(`${kind}: HTTP/2 streams wait for the end of the window, and each is counted once`, async () => {
    await using web = await Web.serve(kind, byNode);
    using client = new Session2(web.port);
    assert.is((await client.ask()).status, 200);
    const begun = slotWord('slotBegun');
    const window = await web.window();
    web.folder.open('window');
    const answers = later(Promise.all([client.ask('/held'), client.ask('/held'), client.ask('/held')]));
    const state = watch(answers);
    await hasRead(web);
    assert.not(state.settled);
    assert.not(web.diary.read().includes('asked /held'));
    web.folder.shut('window');
    await window.end();
    for (const { status, body } of await answers)
      assert.equal({ status, body }, { status: 200, body: String(web.pids()[0]) });
    assert.is(slotWord('slotBegun'), begun + 3);
    await until(() => slotWord('slotRequests') === 0, 'no request to be counted');
  });
}

for (const [kind, version] of [
  ['https', 1],
  ['http2s', 1],
  ['http2s', 2],
] as const) {
  test(`${kind}: HTTP/${version} over TLS waits for the end of the window`, async () => {
    await using web = await Web.serve(kind, byNode);
    using client = version === 2 ? new Session2(web.port, true) : new KeepAlive(web.port, true);
    assert.is((await client.ask()).status, 200);
    const window = await web.window();
    const answer = later(client.ask('/held'));
    const state = watch(answer);
    await hasRead(web);
    assert.not(state.settled);
    await window.end();
    assert.is((await answer).status, 200);
  });
}

test('express: balanced connections at full speed and windows: nothing fails, nothing runs inside', () =>
  windowsAtFullSpeed('express'));

test('a TLS session of one replica is resumed by the others, and by those that come later', async () => {
  await using web = await Web.serve('https', { replicas: 2 });
  const first = await overTls(web.port);
  assert.is(first.isReused, false);
  for (const round of ['those that are there', 'their successors']) {
    const pids = new Set<string>();
    for (let i = 0; i < 8; i++) {
      const { body, isReused } = await overTls(web.port, first.session);
      pids.add(body);
      assert.ok(isReused, round);
    }
    assert.equal([...pids].sort(), web.pids().map(String).sort(), round);
    if (round === 'those that are there') await web.supervisor.reload();
  }
});

test('held requests go on in the order in which they came', async () => {
  await using web = await Web.serve('http', byNode);
  const window = await web.window();
  const paths = Array.from({ length: 20 }, (_, i) => `/${i}`);
  const answers: Promise<Answer>[] = [];
  using _first = new KeepAlive(web.port);
  for (const path of paths) {
    answers.push(later(ask(web.port, path)));
    await sleep(5);
  }
  await hasRead(web);
  await window.end();
  for (const { status } of await Promise.all(answers)) assert.is(status, 200);
  const asked = web.diary.read().filter((line) => line.startsWith('asked '));
  assert.equal(
    asked,
    paths.map((path) => `asked ${path}`),
  );
});

test('a window waits by ping for the requests that run, and for none that is held', async () => {
  await using web = await Web.serve('http', byNode);
  const [pid] = web.pids() as [number];
  const running = later(ask(web.port, '/slow'));
  await web.diary.has('asked /slow');
  assert.is(slotWord('slotRequests'), 1);
  const isOpen = deferred();
  const window = later(
    web.pool.applyWithin(
      () => assert.is(slotWord('slotRequests'), 0),
      (each) => {
        isOpen.resolve();
        return ping(each);
      },
    ),
  );
  const state = watch(window);
  await isOpen.promise;
  const held = later(ask(web.port, '/held'));
  await sleep(100);
  assert.not(state.settled, 'the request runs');
  web.folder.open('gate');
  await window;
  assert.is((await running).body, `${pid} begins ends`);
  assert.is((await held).status, 200);
  assert.equal(web.diary.read().slice(0, 2), ['asked /slow', 'asked /held']);
});

test('two pools over one supervisor: requests go on when the last window has ended', async () => {
  await using web = await Web.serve('http', byNode);
  await using other = await balance(web.supervisor, 'the other one');
  const end = deferred();
  const otherWindow = later(other.applyWithin(() => end.promise));
  const window = await web.window();
  const answer = later(ask(web.port));
  const state = watch(answer);
  await hasRead(web);
  await window.end();
  await hasRead(web);
  assert.not(state.settled, 'the other window is open');
  end.resolve();
  await otherWindow;
  assert.is((await answer).status, 200);
});

test('an upgrade waits for the end of the window, and is finished when its handler has returned', async () => {
  await using web = await Web.serve('ws', byNode);
  const [pid] = web.pids() as [number];
  const window = await web.window();
  const socket = new WebSocket(`ws://127.0.0.1:${web.port}`);
  const upgraded = next(socket, 'open');
  const state = watch(upgraded);
  await hasRead(web);
  assert.not(state.settled);
  assert.not(web.diary.read().includes('upgraded'));
  await window.end();
  await upgraded;
  const message = next<[Buffer]>(socket, 'message');
  socket.send('hello');
  assert.is(String((await message)[0]), 'hello');
  await ping(pid); // the open socket does not count
  assert.is(slotWord('slotRequests'), 0);
  socket.close();
  await next(socket, 'close');
});

test('a client that leaves while its request is held is forgotten', async () => {
  await using web = await Web.serve('http', { ...byNode, maxHeldRequests: 4 });
  const window = await web.window();
  {
    using leaving = new Raw(web.port);
    leaving.get('/leaves');
    using pipelining = new Raw(web.port);
    pipelining.get('/leaves');
    pipelining.get('/leaves');
    using upgrading = new Raw(web.port);
    upgrading.get('/leaves', 'Connection: Upgrade', 'Upgrade: echo');
    await hasRead(web);
  }
  await hasRead(web);
  const answer = later(ask(web.port, '/stays'));
  await hasRead(web);
  await window.end();
  assert.is((await answer).status, 200);
  await Promise.all(web.pids().map((pid) => ping(pid)));
  assert.equal(web.diary.read(), ['asked /stays']);
  assert.is(slotWord('slotRequests'), 0);
});

test('a client that leaves while its pipelined requests run leaves nothing counted', async () => {
  await using web = await Web.serve('http', byNode);
  const [pid] = web.pids() as [number];
  using client = new Raw(web.port);
  client.get('/late');
  client.get('/late');
  client.get('/late');
  await web.diary.has('asked /late', 3);
  assert.is(slotWord('slotRequests'), 3);
  client.socket.destroy();
  await ping(pid, { timeout: 5_000 });
  assert.is(slotWord('slotRequests'), 0);
});

test('pipelined requests are answered in order, and all of them', async () => {
  await using web = await Web.serve('http', byNode);
  using client = new Raw(web.port);
  for (let i = 0; i < 30; i++) client.get('/');
  await until(() => client.received.split('HTTP/1.1 200').length === 31, '30 answers');
  await until(() => slotWord('slotRequests') === 0, 'none to be counted');
  assert.is(slotWord('slotBegun'), 30);
});

test('requests past maxHeldRequests are answered with 503, and their connection goes on', async () => {
  await using web = await Web.serve('http', { ...byNode, maxHeldRequests: 2 });
  const window = await web.window();
  const held = later(Promise.all([ask(web.port), ask(web.port)]));
  await hasRead(web);
  using client = new KeepAlive(web.port);
  const { status, headers } = await client.ask('/refused');
  assert.is(status, 503);
  assert.is(headers['retry-after'], '1');
  using upgrading = new Raw(web.port);
  upgrading.get('/refused', 'Connection: Upgrade', 'Upgrade: echo');
  await until(() => upgrading.received.length > 0, 'an answer');
  await window.end();
  for (const answer of await held) assert.is(answer.status, 200);
  assert.is((await client.ask()).status, 200);
  assert.not(web.diary.read().includes('asked /refused'));
  await until(() => slotWord('slotRequests') === 0, 'none to be counted');
});

test('a request is held for maxHoldTime, then answered with 503', async () => {
  await using web = await Web.serve('http', { ...byNode, maxHoldTime: 200 });
  const window = await web.window();
  const began = performance.now();
  const first = later(ask(web.port, '/refused'));
  await sleep(100);
  const second = later(ask(web.port, '/refused'));
  for (const answer of [first, second]) {
    const { status, headers } = await answer;
    assert.is(status, 503);
    assert.is(headers['retry-after'], '1');
  }
  assert.ok(performance.now() - began >= 299);
  await window.end();
  assert.equal(web.diary.read(), []);
});

test('HTTP/2 streams past the limits are answered with 503', async () => {
  await using web = await Web.serve('streams', { ...byNode, maxHeldRequests: 0 });
  using client = new Session2(web.port);
  await client.ask();
  const window = await web.window();
  const { status, headers } = await client.ask('/refused');
  assert.is(status, 503);
  assert.is(headers['retry-after'], '1');
  await window.end();
  assert.is((await client.ask()).status, 200);
});

test('upgrades past the limits are answered with 503', async () => {
  await using web = await Web.serve('upgrade', { ...byNode, maxHeldRequests: 0 });
  const window = await web.window();
  using raw = new Raw(web.port);
  raw.get('/', 'Connection: Upgrade', 'Upgrade: echo');
  await until(() => raw.ended, 'the end of the connection');
  assert.match(raw.received, /^HTTP\/1\.1 503 .*\r\nRetry-After: 1\r\n/s);
  await window.end();
  assert.not(web.diary.read().includes('upgraded'));
});

test('a handler that throws does not keep what is held behind it', async () => {
  await using web = await Web.serve('throws', byNode);
  const window = await web.window();
  using thrower = new Raw(web.port);
  thrower.get('/throws');
  await hasRead(web);
  const answers = later(Promise.all([ask(web.port), ask(web.port)]));
  await hasRead(web);
  await window.end();
  for (const { status } of await answers) assert.is(status, 200);
  assert.ok(web.diary.read().includes('uncaught on purpose'));
});

test('100-continue is not sent while the request is held', async () => {
  await using web = await Web.serve('expect', byNode);
  const window = await web.window();
  using client = new Raw(web.port);
  client.send(
    'POST /expects HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n',
  );
  await hasRead(web);
  assert.is(client.received, '');
  await window.end();
  await until(() => client.received.includes('100 Continue'), '100 Continue');
  client.send('ok');
  await until(() => client.received.includes('200 OK'), '200');
});

test('a replica that joins in the middle of a window holds too', async () => {
  await using web = await Web.serve('http', { ...byNode, replicas: 2 });
  const window = await web.window();
  process.kill(pidAt(web.pids(), 0), 'SIGKILL');
  await next(web.supervisor, 'up');
  const answers = later(Promise.all(Array.from({ length: 8 }, () => ask(web.port, '/held'))));
  await hasRead(web);
  assert.equal(web.diary.read(), []);
  await window.end();
  for (const { status } of await answers) assert.is(status, 200);
  for (const pid of web.pids()) assert.ok(web.diary.read(pid).length > 0, 'both got some');
});

test.run();
