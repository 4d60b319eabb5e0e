/** The examples whose connections stay: WebSockets, and the sessions of Socket.IO by each of its transports. */

import { Agent } from 'node:http';
import { io, type Socket } from 'socket.io-client';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import WebSocket from 'ws';
import { Example, twoReplicas } from '../support/example.js';
import { next, times, until } from '../support/helpers.js';

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

test('socket.io: a client that answers no ping keeps no replica from its end', async () => {
  await using example = new Example('socket.io/main.js');
  const url = `${await example.url()}/socket.io/?EIO=4&transport=polling`;
  const text = async (to: string, body?: string): Promise<string> =>
    (await fetch(to, { method: body === undefined ? 'GET' : 'POST', body: body ?? null })).text();
  const { sid } = JSON.parse((await text(url)).slice(1));
  const session = `${url}&sid=${sid}`;
  await text(session, '40'); // connects to the namespace
  const heard = new Set<string>();
  await until(async () => heard.add(await text(session)).has('2'), 'a ping');

  const poll = text(session);
  example.signal('SIGTERM');
  assert.is(await poll, '1'); // the session is over
  await example.endsByItself();
});

test.run();
