/** What would keep a replica that stops: event streams, and clients that neither send nor read what their request waits for. */

import { type EventEmitter, once } from 'node:events';
import { request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Supervisor, type SupervisorOptions, supervise } from 'ballermann';
import { io } from 'socket.io-client';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { downOf, fixture, next, until } from '../support/helpers.js';
import { Diary, Folder, later } from '../support/processes.js';
import { ask, Raw } from '../support/web.js';

/** One replica of long-answers/server.mjs, and where its servers listen. */
async function serve(
  folder: Folder,
  WAIT: number,
  options: Partial<SupervisorOptions> = {},
): Promise<{ supervisor: Supervisor; diary: Diary; ports: Map<string, number>; port: number; pid: number }> {
  const diary = new Diary(folder);
  const env = { DIARY: diary.file, WAIT: String(WAIT) };
  const supervisor = await supervise({
    exec: fixture('long-answers/server.mjs'),
    replicas: 1,
    env,
    ...options,
  });
  const line = await until(() => diary.read().find((each) => each.startsWith('listens ')), 'the ports');
  const pairs = (line as string).slice('listens '.length).split(',');
  const ports = new Map(
    pairs.map((pair) => pair.split(' ') as [string, string]).map(([n, p]) => [n, Number(p)]),
  );
  const pid = supervisor.children()[0]?.pid as number;
  return { supervisor, diary, ports, port: ports.get('http') as number, pid };
}

/** An open event stream. @returns all that came, when it has ended as it should. */
async function events(name: string, port: number): Promise<{ ended: Promise<string> }> {
  if (name === 'http2' || name === 'streams') {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const stream = session.request({ ':path': '/events' });
    await once(stream, 'response');
    return { ended: later(text(stream).finally(() => session.close())) };
  }
  const asked = request({ port, host: '127.0.0.1', path: '/events', agent: false }).end();
  const [response] = await once(asked, 'response');
  assert.match(response.headers['content-type'], /^text\/event-stream/);
  return { ended: later(text(response)) };
}

test('event streams of any framework, and polls of Socket.IO, end at once when a stop begins; the replica goes in order', async () => {
  using folder = new Folder();
  const { supervisor, ports, diary, pid } = await serve(folder, 0, { shutdown: 10_000 });
  await using _supervisor = supervisor;
  const open = new Map<string, Promise<string>>();
  for (const [name, port] of ports)
    if (name !== 'socket.io') open.set(name, (await events(name, port)).ended);
  const polling = { transports: ['polling'], reconnection: false };
  const client = io(`http://127.0.0.1:${ports.get('socket.io')}`, polling);
  const disconnected = later(next<[string]>(client as unknown as EventEmitter, 'disconnect'));
  await diary.has('connected');
  await sleep(50); // for the poll that follows
  const down = downOf(supervisor, pid);
  const began = performance.now();
  const closed = later(supervisor.close());
  for (const [name, ended] of open) assert.match(await ended, /data: /, name);
  assert.is((await disconnected)[0], 'transport close');
  await closed;
  const took = performance.now() - began;
  const { code, signal, error } = await down;
  assert.equal({ code, signal, error }, { code: 0, signal: null, error: undefined });
  assert.equal(diary.read().slice(1), ['connected', 'hook close']);
  assert.ok(took < 2_500, `${took} ms, and a client that only stalls has a quarter of the time to stop`);
});

/** A client that reads nothing. */
function deaf(port: number, path: string): Socket {
  const socket = connect(port, '127.0.0.1').pause();
  socket.on('error', () => {});
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  return socket;
}

test('clients that stall, in whichever way, keep nobody: the replica goes in order before its time to stop is over', async () => {
  using folder = new Folder();
  const shutdown = 4_000; // a stalled client is given up after a second
  const { supervisor, port, ports, diary, pid } = await serve(folder, 1_500, { shutdown });
  await using _supervisor = supervisor;
  using upload = new Raw(port);
  upload.send('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nsome of it');
  using head = new Raw(port);
  head.send('GET / HTTP/1.1\r\nHost: loc');
  using kept = new Raw(port);
  kept.get('/');
  await until(() => kept.received.includes('200 OK'), 'the first answer');
  kept.send('GET / HTTP/1.1\r\nHost: loc');
  const flood = deaf(port, '/flood');
  const big = deaf(port, '/big');
  const session = connectHttp2(`http://127.0.0.1:${ports.get('streams')}`);
  session.on('error', () => {});
  session
    .request({ ':path': '/events' })
    .on('error', () => {})
    .pause(); // and its window is soon full
  // Who goes on is answered: a handler that takes longer than that, an upload that is slow.
  const slow = later(ask(port, '/slow'));
  await diary.has('asked');
  using trickle = new Raw(port);
  trickle.send('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n');
  await ask(port);

  const down = downOf(supervisor, pid);
  const began = performance.now();
  const closed = later(supervisor.close());
  for (let i = 0; i < 10; i++) {
    await sleep(120);
    trickle.send('.');
  }
  assert.is((await slow).body, 'done');
  await until(() => trickle.ended, 'the answer to the slow upload');
  assert.match(trickle.received, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n10$/);
  await closed;
  const took = performance.now() - began;
  const { code, signal } = await down;
  assert.equal({ code, signal }, { code: 0, signal: null });
  assert.ok(took < 0.8 * shutdown, `${took} ms`);
  assert.equal(diary.read().slice(-1), ['hook close']);
  for (const socket of [flood, big]) socket.destroy();
  session.destroy();
});

test.run();
