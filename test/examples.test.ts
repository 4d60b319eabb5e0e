/** Each example as a user runs it: in a process of its own, asked by real clients, held by a window, stopped by SIGTERM. */

import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { io, type Socket } from 'socket.io-client';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import WebSocket from 'ws';
import { Example } from './example.js';
import { next, times, until } from './helpers.js';
import { Folder, isAlive } from './processes.js';

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
  readonly headers: Record<string, unknown>;
}

/** One request, on a connection of its own unless the agent has one. */
function request(url: string, agent: Agent | false = false): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = get(url, { agent, timeout: 10_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => {
        body += text;
      });
      response.once('end', () => resolve({ status: response.statusCode, body, headers: response.headers }));
      response.once('error', reject);
    });
    asked.once('error', reject);
    asked.once('timeout', () => asked.destroy(new Error('no answer within 10 s')));
  });
}

/** Clients that ask one request after another, each on a connection that it keeps. */
class Clients {
  readonly answers: Answer[] = [];
  #stopping = false;
  readonly #running: Promise<void>[];

  constructor(count: number, urlOf: (i: number) => string) {
    let asked = 0;
    this.#running = times(count, async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      while (!this.#stopping) this.answers.push(await request(urlOf(asked++), agent));
      agent.destroy();
    });
    for (const running of this.#running) running.catch(() => {}); // stop() tells
  }

  /** Waits until some more have been answered. */
  async more(count = 100): Promise<void> {
    const enough = this.answers.length + count;
    await until(() => this.answers.length >= enough, `${count} more answers`);
  }

  /** Each was answered, and well. @throws what any request failed with. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
    assert.equal(
      this.answers.filter(({ status }) => status !== 200),
      [],
    );
  }
}

/** Asks until two replicas have answered. @returns their pids. */
async function twoReplicas(ask: () => Promise<number>): Promise<Set<number>> {
  const pids = new Set<number>();
  await until(async () => pids.add(await ask()).size >= 2, 'answers from two replicas');
  return pids;
}

test('http: the log is rotated, and no line is lost', async () => {
  using folder = new Folder();
  const LOG = folder.at('access.log');
  await using example = new Example('http/main.js', { LOG });
  const url = await example.url();
  const pids = await twoReplicas(async () => Number((await request(url)).body));
  const linesOf = (file: string): number => readFileSync(file, 'utf8').split('\n').length - 1;
  const before = linesOf(LOG);

  const clients = new Clients(8, () => url);
  const logs = [LOG];
  for (let rotation = 1; rotation <= 5; rotation++) {
    await clients.more(50);
    example.signal('SIGUSR2');
    await example.says(new RegExp(`^rotation ${rotation}$`, 'm'));
    logs.push(`${LOG}.${rotation}`);
  }
  await clients.stop();
  const lines = logs.map(linesOf).reduce((sum, count) => sum + count, 0);
  assert.is(lines, before + clients.answers.length);
  await example.ends(pids);
});

test('http: a reload by SIGHUP replaces the replicas, and no request fails', async () => {
  using folder = new Folder();
  await using example = new Example('http/main.js', { LOG: folder.at('access.log') });
  const url = await example.url();
  const old = await twoReplicas(async () => Number((await request(url)).body));
  const clients = new Clients(8, () => url);
  await clients.more();
  example.signal('SIGHUP');
  await until(() => ![...old].some(isAlive), 'the end of the old replicas');
  await clients.more();
  await clients.stop();
  const fresh = await twoReplicas(async () => Number((await request(url)).body));
  assert.equal(
    [...fresh].filter((pid) => old.has(pid)),
    [],
  );
  await example.ends(fresh);
});

test('fastify: settings are read as the one edition or the other, never half written', async () => {
  using folder = new Folder();
  await using example = new Example('fastify/main.js', { SETTINGS: folder.at('settings.json') });
  const url = await example.url();
  const pids = await twoReplicas(async () => JSON.parse((await request(url)).body).pid);

  const clients = new Clients(8, () => url);
  for (let edition = 2; edition <= 6; edition++) {
    await clients.more(20);
    example.signal('SIGUSR2');
    await example.says(new RegExp(`^edition ${edition}$`, 'm'));
    assert.is(JSON.parse((await request(url)).body).edition, edition);
  }
  await clients.stop();
  await example.ends(pids);
});

test('express: the cache is emptied, and no request finds it missing', async () => {
  await using example = new Example('express/main.js');
  const url = await example.url();
  const pids = await twoReplicas(async () => Number((await request(`${url}/page`)).headers['x-pid']));

  const clients = new Clients(8, (i) => `${url}/${i % 50}`);
  await clients.more();
  example.signal('SIGUSR2');
  await example.says(/cache emptied/);
  await clients.more();
  await clients.stop();
  await example.ends(pids);
});

/** A WebSocket that is open, on a connection of its own. */
async function connected(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url);
  await next(socket, 'open');
  return socket;
}

/** The pid of the replica that answers. */
async function echo(socket: WebSocket, text: string): Promise<number> {
  const answered = next<[Buffer]>(socket, 'message');
  socket.send(text);
  const [pid, ...rest] = String((await answered)[0]).split(' ');
  assert.is(rest.join(' '), text);
  return Number(pid);
}

test('ws: open connections go on in a window, new ones wait, and all are told of the end', async () => {
  await using example = new Example('ws/main.js');
  const url = await example.url();
  const sockets: WebSocket[] = [];
  try {
    const pids = await twoReplicas(async () => {
      sockets.push(await connected(url));
      return echo(sockets.at(-1) as WebSocket, 'a b');
    });
    example.signal('SIGUSR2');
    await example.says(/window begins/);
    const late = connected(url);
    for (const socket of sockets) assert.ok(pids.has(await echo(socket, 'inside')));
    await example.says(/window over/);
    sockets.push(await late);
    pids.add(await echo(sockets.at(-1) as WebSocket, 'after'));

    const codes = sockets.map(async (socket) => (await next<[number, Buffer]>(socket, 'close'))[0]);
    await example.ends(pids);
    assert.equal([...new Set(await Promise.all(codes))], [1012]);
  } finally {
    for (const socket of sockets) socket.terminate();
  }
});

/** A client of that address of the loopback network: to the server, clients from one address are one. */
function clientFrom(url: string, localAddress: string, transports: string[]): Socket {
  const agent = new Agent({ localAddress });
  return io(url, { agent: agent as never, transports, forceNew: true, reconnection: false });
}

for (const transports of [['polling'], ['polling', 'websocket'], ['websocket']]) {
  test(`socket.io: ${transports.join(' and ')}, each session in one replica`, async () => {
    await using example = new Example('socket.io/main.js');
    const url = await example.url();
    const clients: Socket[] = [];
    try {
      const pids = await twoReplicas(async () => {
        const client = clientFrom(url, `127.0.0.${clients.length + 1}`, transports);
        clients.push(client);
        const failed = next<[Error]>(client as never, 'connect_error').then(([error]) =>
          Promise.reject(error),
        );
        failed.catch(() => {});
        await Promise.race([next(client as never, 'connect'), failed]);
        if (transports.length > 1) {
          await until(() => client.io.engine.transport.name === 'websocket', 'the upgrade');
        }
        const replies: { pid: number; text: number }[] = [];
        for (let i = 0; i < 10; i++) replies.push(await client.timeout(10_000).emitWithAck('echo', i));
        assert.equal(
          replies.map(({ text }) => text),
          times(10, () => 0).map((_, i) => i),
        );
        assert.is(new Set(replies.map(({ pid }) => pid)).size, 1);
        return replies[0]?.pid as number;
      });

      example.signal('SIGUSR2');
      await example.says(/window begins/);
      const asked = clients.map((client) => client.timeout(10_000).emitWithAck('echo', 'held'));
      await example.says(/window over/);
      for (const { pid, text } of await Promise.all(asked)) {
        assert.ok(pids.has(pid));
        assert.is(text, 'held');
      }
      await example.ends(pids);
    } finally {
      for (const client of clients) client.disconnect();
    }
  });
}

test('calls: every piece is computed, in turn, and it ends by itself', async () => {
  await using example = new Example('calls/main.js');
  await example.endsByItself();
  const said = await example.says(/(\d+ computed \d+\n)+fingerprints \d+, wrong 0/);
  const counts = [...said.matchAll(/computed (\d+)/g)].map(([, count]) => Number(count));
  assert.is(counts.length, 4);
  assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, counts.join(' '));
});

test.run();
