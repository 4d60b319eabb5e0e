/** Servers of replicas: who gets which connection, and that all else is as with node:cluster. */

import { spawnSync } from 'node:child_process';
import cluster, { type Address, type Worker } from 'node:cluster';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import net, { connect, createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { cast, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { listenError } from '#src/replica/servers/listen-error.js';
import { places } from '#src/replica/servers/places.js';
import { stopped } from '../support/failing.js';
import { pidAt, upPids } from '../support/gate.js';
import { downOf, fixture, killed, next, until } from '../support/helpers.js';
import {
  answerOf,
  answers,
  ask,
  HOST,
  type Listening,
  listenAll,
  listeners,
  listenIn,
  opened,
  portOfAll,
  type State,
  saidBy,
  spreadEvenly,
  twoPids,
} from '../support/listening.js';
import { Folder, openFiles } from '../support/processes.js';

const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);

interface Handle {
  readonly fd: number;
  getsockname(out: object): number;
  close(): void;
}

/** Node's own, by which a socket is bound that no server has. */
const { _createServerHandle: create } = net as unknown as {
  _createServerHandle: (address: string, port: number, addressType: number) => Handle;
};

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0;

/** The soft limit, which can be raised again. */
function limitDescriptors(pid: number, count: number): void {
  const { status, stderr } = spawnSync('prlimit', ['--pid', `${pid}`, `--nofile=${count}:`]);
  assert.is(status, 0, String(stderr));
}

async function refused(port: number): Promise<boolean> {
  return answerOf(port).then(
    () => false,
    (error) => error.code === 'ECONNREFUSED',
  );
}

test('connections are spread evenly', async () => {
  await using supervisor = await listeners({ replicas: 3 });
  const port = await portOfAll(supervisor);
  await spreadEvenly(supervisor, port, { count: 1500, lead: 32 });
});

test('one connection at a time is spread as well, whoever is quicker', async () => {
  await using supervisor = await listeners();
  const port = await portOfAll(supervisor);
  await spreadEvenly(supervisor, port, { count: 200, lead: 18, together: 1 });
});

test('a plain http server becomes ready by listening, and cluster tells where', async () => {
  const told: { pid: number | undefined; address: Address }[] = [];
  const note = ({ process: { pid } }: Worker, address: Address): void => {
    told.push({ pid, address });
  };
  cluster.on('listening', note);
  using folder = new Folder();
  const exec = fixture('lifecycle/server.mjs');
  await using supervisor = await supervise({ exec, replicas: 2, env: { GATE: folder.at('gate') } });
  cluster.off('listening', note);
  assert.equal(told.map(({ pid }) => pid).sort(), upPids(supervisor).sort());
  const { port, ...rest } = told.at(0)?.address ?? {};
  assert.equal(rest, { address: HOST, addressType: 4, fd: undefined });
  assert.is(told[1]?.address.port, port);
  const response = await fetch(`http://${HOST}:${port}`);
  assert.ok(upPids(supervisor).includes(Number(response.headers.get('served-by'))));
  assert.is(await response.text(), 'begins ends');
});

test('port 0 is the same port in all replicas, and another one for another server', async () => {
  await using supervisor = await listeners();
  const first = await portOfAll(supervisor);
  const second = await portOfAll(supervisor, { key: 'second' });
  assert.is.not(first, second);
  assert.is(new Set(await answers(first, 40)).size, 2);
  assert.is(new Set(await answers(second, 40)).size, 2);
});

test('IPv6, and any address', async () => {
  await using supervisor = await listeners();
  if (hasIpv6) {
    const [{ address }] = (await listenAll(supervisor, { port: 0, host: '::1' })) as [Listening];
    assert.is(address.family, 'IPv6');
    assert.ok(upPids(supervisor).includes(Number(await answerOf({ port: address.port, host: '::1' }))));
  }
  const [any] = (await listenAll(supervisor, { port: 0, host: undefined }, { key: 'any' })) as [Listening];
  assert.ok(upPids(supervisor).includes(Number(await answerOf(any.address.port))));
});

test('a path: shared by all, with the mode that was asked for, and gone at the end', async () => {
  using folder = new Folder();
  const path = folder.at('socket');
  {
    await using supervisor = await listeners();
    await listenAll(supervisor, { path, host: undefined, readableAll: true, writableAll: true });
    const pids = new Set<string>();
    for (let i = 0; i < 40; i++) pids.add(await answerOf({ path }));
    assert.is(pids.size, 2);
    const { statSync } = await import('node:fs');
    assert.is(statSync(path).mode & 0o666, 0o666);
  }
  assert.not(existsSync(path));
});

test('what cannot be bound is an error event as in Node, and can be tried again', async () => {
  await using supervisor = await listeners();
  const [first, second] = twoPids(supervisor);
  const own = createServer().listen(0, HOST);
  await once(own, 'listening');
  const { port } = own.address() as { port: number };
  const failures = [
    [{ port }, `listen EADDRINUSE: address already in use ${HOST}:${port}`],
    [
      { port, host: undefined },
      `listen EADDRINUSE: address already in use ${hasIpv6 ? '::' : '0.0.0.0'}:${port}`,
    ],
    [{ port: 0, host: '192.0.2.1' }, 'listen EADDRNOTAVAIL: address not available 192.0.2.1'],
    [{ path: '/tmp', host: undefined }, 'listen EADDRINUSE: address already in use /tmp'],
    [{ fd: 1e6, host: undefined }, 'listen EBADF: bad file descriptor (descriptor 1000000 of the primary)'],
  ] as const;
  for (const [options, message] of failures) {
    const { error } = await listenIn(first, options);
    assert.is(error?.message, message);
    assert.is(error?.syscall, 'listen');
    assert.is(error?.code, message.split(/[ :]/)[1]);
  }
  // However often each has tried by then, they share the port in the end.
  for (const pid of [second, second, second]) await listenIn(pid, { port });
  own.close();
  await once(own, 'close');
  await listenAll(supervisor, { port });
  assert.is(new Set(await answers(port, 40)).size, 2);
});

test('datagram sockets that have failed share the port in the end as well', async () => {
  await using supervisor = await listeners();
  const [first, second] = twoPids(supervisor);
  const own = createSocket('udp4').bind(0, HOST);
  await once(own, 'listening');
  const { port } = own.address();
  const bind = [port, HOST];
  for (const pid of [first, first, second]) {
    const { error } = await ask<Listening>(pid, 'datagram', { bind });
    assert.is(error?.message, `bind EADDRINUSE ${HOST}:${port}`);
  }
  own.close();
  await once(own, 'close');
  for (const pid of [first, second])
    assert.is((await ask<{ port: number }>(pid, 'datagram', { bind })).port, port);
});

for (const listen of ['balanced', 'node'] as const) {
  test(`a socket belongs to one supervisor, as ${listen}`, async () => {
    await using one = await listeners({ replicas: 1, listen });
    await using other = await listeners({ replicas: 1, listen });
    const [pid, stranger] = [pidAt(upPids(one), 0), pidAt(upPids(other), 0)];
    const { address } = await listenIn(pid, { port: 0 });
    const { address: another } = await listenIn(stranger, { port: 0 });
    assert.is.not(address.port, another.port);
    assert.equal(await answers(address.port, 5), Array(5).fill(pid));
    const { error } = await listenIn(stranger, { port: address.port }, { key: 'same' });
    assert.is(error?.message, `listen EADDRINUSE: address already in use ${HOST}:${address.port}`);

    const datagrams = await ask<{ port: number }>(pid, 'datagram');
    assert.is.not((await ask<{ port: number }>(stranger, 'datagram')).port, datagrams.port);
    const same = await ask<Listening>(stranger, 'datagram', { bind: [datagrams.port, HOST], key: 'same' });
    assert.is(same.error?.message, `bind EADDRINUSE ${HOST}:${datagrams.port}`);
  });
}

/** Sockets as the primary of a service manager has them: descriptors, and no server of Node's. */
async function inherit(): Promise<{ fd: number; port: number; datagrams: number } & Disposable> {
  const stream = create(HOST, 0, 4);
  const name = { port: 0 };
  stream.getsockname(name);
  const socket = createSocket('udp4').bind(0, HOST);
  await once(socket, 'listening');
  return {
    fd: stream.fd,
    port: name.port,
    datagrams: descriptorOf(socket),
    [Symbol.dispose]() {
      stream.close();
      socket.close();
    },
  };
}

function descriptorOf(socket: object): number {
  const fields = socket as Record<symbol, { handle?: { fd: number } } | undefined>;
  const state = Object.getOwnPropertySymbols(socket).find((symbol) => fields[symbol]?.handle !== undefined);
  return fields[state as symbol]?.handle?.fd as number;
}

for (const options of [{}, { sticky: true }, { listen: 'node' }] as const) {
  test(`a descriptor of the primary outlives the replicas that listen on it: ${inspect(options)}`, async () => {
    using inherited = await inherit();
    await using supervisor = await listeners({ replicas: 1, backoff: { initial: 1, max: 1 }, ...options });
    for (let life = 0; life < 3; life++) {
      const pid = pidAt(upPids(supervisor), 0);
      const listening = await listenIn(pid, { fd: inherited.fd, host: undefined });
      assert.is(listening.error, undefined);
      assert.is(listening.address.port, inherited.port);
      assert.equal(await answers(inherited.port, 3), Array(3).fill(pid));
      const { port, error } = await ask<Listening & { port: number }>(pid, 'datagram', {
        bind: [{ fd: inherited.datagrams }],
      });
      assert.is(error, undefined);
      assert.ok(port > 0);
      if (life === 1) await ask(pid, 'close'); // the last one, in order
      const waiting = life === 0 ? connect(inherited.port, HOST) : undefined;
      await killed(supervisor, pid);
      await until(() => upPids(supervisor).some((next) => next !== pid), 'the next replica');
      waiting?.destroy();
    }
  });
}

test('a folder that is not there is EACCES, as in Node', async () => {
  using folder = new Folder();
  await using supervisor = await listeners({ replicas: 1 });
  const [pid] = upPids(supervisor) as [number];
  const { error } = await listenIn(pid, { path: folder.at('none/socket'), host: undefined });
  assert.is(error?.code, 'EACCES');
});

const isRoot = process.getuid?.() === 0; // root may bind port 80
if (isRoot) console.log('root may bind every port: the test of one that only root may bind is skipped');
(isRoot ? test.skip : test)('a port that only root may bind is EACCES', async () => {
  await using supervisor = await listeners({ replicas: 1 });
  const [pid] = upPids(supervisor) as [number];
  assert.is((await listenIn(pid, { port: 80 })).error?.code, 'EACCES');
});

test('two servers of a replica cannot have the same port', async () => {
  await using supervisor = await listeners();
  const [first, second] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  for (const pid of [first, second]) {
    assert.is((await listenIn(pid, { port }, { key: 'twice' })).error?.code, 'EADDRINUSE');
  }
  assert.is(new Set(await answers(port, 40)).size, 2);
});

test('a descriptor of the primary is shared; exclusive ports and datagrams go Node’s own way', async () => {
  await using supervisor = await listeners();
  const [first, second] = twoPids(supervisor);
  const ports = await Promise.all([first, second].map((pid) => listenIn(pid, { port: 0, exclusive: true })));
  assert.is.not(ports[0]?.address.port, ports[1]?.address.port);
  assert.is(Number(await answerOf(ports[0]?.address.port as number)), first);

  using inherited = await inherit();
  const shared = await listenAll(supervisor, { fd: inherited.fd, host: undefined }, { key: 'fd' });
  assert.equal(
    shared.map(({ kind, address }) => [kind, address.port]),
    [1, 2].map(() => ['TCP', inherited.port]),
  );
  assert.is(new Set(await answers(inherited.port, 40)).size, 2);

  const { port: udp } = await ask<{ port: number }>(first, 'datagram');
  assert.is((await ask<{ port: number }>(second, 'datagram')).port, udp);
  const client = createSocket('udp4');
  client.send('?', udp, HOST);
  const [answer] = await once(client, 'message', { signal: AbortSignal.timeout(10_000) });
  client.close();
  assert.ok([first, second].includes(Number(answer)));
});

test('listen: node leaves it all to node:cluster', async () => {
  await using supervisor = await listeners({ listen: 'node' });
  const [listening] = (await listenAll(supervisor, { port: 0 })) as [Listening];
  assert.is(listening.kind, 'Object'); // Node's faux handle
  assert.is(new Set(await answers(listening.address.port, 40)).size, 2);
});

test('where Node lacks the seam, it schedules itself and says so once', async () => {
  using folder = new Folder();
  const script = folder.script(
    'hide.cjs',
    `const cluster = require('node:cluster');
     const { _getServer } = cluster;
     delete cluster._getServer;
     globalThis.warnings = [];
     process.on('warning', ({ code }) => {
       globalThis.warnings.push(code);
       cluster._getServer = _getServer;
     });`,
  );
  await using supervisor = await listeners({
    execArgv: ['--no-warnings'],
    env: { NODE_OPTIONS: `--require ${script}` }, // before ours
  });
  const port = await portOfAll(supervisor);
  assert.is(new Set(await answers(port, 40)).size, 2);
  const warnings = await ask(upPids(supervisor)[0] as number, 'warnings');
  assert.equal(warnings, ['BALLERMANN_NODE_SCHEDULING']);
});

test('more servers than the segment has room for go Node’s way, and closed ones make room', async () => {
  await using supervisor = await listeners({ replicas: 1, execArgv: ['--no-warnings'] });
  const [pid] = upPids(supervisor) as [number];
  const many = Array.from({ length: 66 }, (_, i) => `server ${i}`);
  const ports = new Set<number>();
  for (const key of many) ports.add((await listenIn(pid, { port: 0 }, { key })).address.port);
  assert.is(ports.size, many.length);
  for (const port of ports) assert.is(Number(await answerOf(port)), pid);
  assert.equal(await ask(pid, 'warnings'), ['BALLERMANN_NODE_SCHEDULING']);
  for (const key of many) await ask(pid, 'close', { key });
  assert.is((await listenIn(pid, { port: 0 })).kind, 'TCP');
});

test('getConnections, maxConnections and drop', async () => {
  await using supervisor = await listeners({ replicas: 1 });
  const [pid] = upPids(supervisor) as [number];
  const limits = { maxConnections: 3, dropMaxConnection: true };
  const port = await portOfAll(supervisor, { manner: 'keep', limits });
  const sockets = await opened(port, 5);
  await until(async () => (await ask<State>(pid, 'state')).dropped === 2, 'two connections to be dropped');
  assert.is(await ask(pid, 'connections'), 3);
  for (const socket of sockets) socket.destroy();
  await until(async () => (await ask(pid, 'connections')) === 0, 'no connections');
});

test('what a server with maxConnections has no room for goes to the others, or waits', async () => {
  await using supervisor = await listeners({ replicas: 2 });
  const [small, large] = twoPids(supervisor);
  const { address } = await listenIn(small, { port: 0 }, { manner: 'keep', limits: { maxConnections: 1 } });
  await listenIn(large, { port: 0 }, { manner: 'keep', limits: { maxConnections: 9 } }); // the same
  const accepted = async () => {
    const states = await Promise.all([ask<State>(small, 'state'), ask<State>(large, 'state')]);
    assert.equal(
      states.map(({ dropped }) => dropped),
      [0, 0],
    );
    return states.reduce((sum, state) => sum + state.accepted, 0);
  };
  const connections = () => Promise.all([ask(small, 'connections'), ask(large, 'connections')]);
  const fitting = await opened(address.port, 10);
  await until(async () => (await accepted()) === 10, 'all to be accepted');
  assert.equal(await connections(), [1, 9]);
  const surplus = await opened(address.port, 10);
  for (const pid of [small, large]) await ask(pid, 'state'); // a turn, in which they take none of them
  assert.equal(await connections(), [1, 9]);
  for (const socket of fitting) socket.destroy();
  await until(async () => (await accepted()) === 20, 'the others to be accepted');
  assert.equal(await connections(), [1, 9]);
  for (const socket of surplus) socket.destroy();

  // As Node has it: 0 is no limit up to Node 20, and no connection since then.
  const none = await listenIn(small, { port: 0 }, { key: 'none', limits: { maxConnections: 0 } });
  await listenIn(large, { port: 0 }, { key: 'none' });
  const takers = new Set(await answers(none.address.port, 40));
  assert.equal(takers, new Set(process.version.startsWith('v20.') ? [small, large] : [large]));
});

test('allowHalfOpen and pauseOnConnect', async () => {
  await using supervisor = await listeners({ replicas: 1 });
  const [pid] = upPids(supervisor) as [number];
  const halfOpen = await portOfAll(supervisor, { manner: 'echo', server: { allowHalfOpen: true } });
  const socket = connect({ port: halfOpen, host: HOST, allowHalfOpen: true });
  socket.end('over');
  assert.is(await saidBy(socket), pid);

  const paused = await portOfAll(supervisor, {
    key: 'paused',
    manner: 'paused',
    server: { pauseOnConnect: true },
  });
  const other = connect(paused, HOST);
  other.write('not read');
  let text = '';
  for await (const part of other) text += part;
  assert.is(text, `${pid} 0 true`);
});

test('a server that one replica closes goes on in the others; the last one closes the port', async () => {
  await using supervisor = await listeners();
  const [first, second] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  await ask(first, 'close');
  assert.equal([...new Set(await answers(port, 20))], [second]);
  assert.is((await listenIn(first, { port: 0 })).address.port, port);
  assert.is(new Set(await answers(port, 40)).size, 2);
  await Promise.all([first, second].map((pid) => ask(pid, 'close')));
  await until(() => refused(port), 'the port to be closed');
  assert.is((await listenIn(first, { port })).address.port, port);
  assert.is(Number(await answerOf(port)), first);
});

test('a closed supervisor leaves its port to others', async () => {
  const supervisor = await listeners();
  const port = await portOfAll(supervisor);
  await supervisor.close();
  const own = createServer().listen(port, HOST);
  await once(own, 'listening');
  own.close();
});

test('disconnect closes the servers, asked for by the replica or by the primary', async () => {
  const byReplica = (pid: number): unknown => cast(pid, { op: 'disconnect' });
  const byPrimary = (pid: number): unknown =>
    Object.values(cluster.workers ?? {})
      .find((worker) => worker?.process.pid === pid)
      ?.disconnect();
  for (const disconnect of [byReplica, byPrimary]) {
    await using supervisor = await listeners({ restart: 'temporary' });
    const [first, second] = twoPids(supervisor);
    const port = await portOfAll(supervisor);
    const down = downOf(supervisor, first);
    disconnect(first);
    assert.is((await down).code, 0);
    assert.equal([...new Set(await answers(port, 20))], [second]);
  }
});

test('ref and unref', async () => {
  await using supervisor = await listeners({ replicas: 1 });
  const [pid] = upPids(supervisor) as [number];
  const [{ hasRef }] = (await listenAll(supervisor, { port: 0 })) as [Listening];
  assert.is(hasRef, true);
  assert.is(await ask(pid, 'ref', { ref: false }), false);
  assert.is(await ask(pid, 'ref', { ref: true }), true);
});

test('an unreferenced server does not keep its process, a referenced one does', async () => {
  using folder = new Folder();
  const exec = folder.script(
    'server.cjs',
    `const server = require('node:net').createServer((socket) => {
       server.unref();
       socket.end('bye');
     });
     server.listen(0, '${HOST}', () => process.channel.unref());`,
  );
  const listening = next<[Worker, Address]>(cluster, 'listening');
  await using supervisor = await supervise({ exec, replicas: 1, restart: 'temporary' });
  const [, { port }] = await listening;
  const down = next<[{ code: number }]>(supervisor, 'down');
  await sleep(100); // it could have ended by now
  assert.is(supervisor.children().length, 1);
  assert.is(await answerOf(port), 'bye');
  assert.is((await down)[0].code, 0);
});

test('what a connection’s listener throws is an uncaught exception, and the next connection is accepted', async () => {
  await using supervisor = await listeners({ replicas: 1 });
  const [pid] = upPids(supervisor) as [number];
  await ask(pid, 'catchAll');
  const port = await portOfAll(supervisor, { manner: 'throw' });
  assert.equal([...new Set(await answers(port, 20, 20))], [pid]);
  const uncaught = await ask<string[]>(pid, 'uncaught');
  assert.equal(uncaught, Array(20).fill('thrown in a connection'));
});

test('a child process of a replica inherits no socket', async () => {
  await using supervisor = await listeners({ replicas: 1 });
  const [pid] = upPids(supervisor) as [number];
  const port = await portOfAll(supervisor, { manner: 'keep' });
  const [socket] = await opened(port, 1);
  await once(socket as Socket, 'data');
  const text = await ask<string>(pid, 'descriptorsOfChild');
  const fds = text.split('\n').filter((line) => /socket:/.test(line));
  assert.ok(
    fds.every((line) => / [012] -> /.test(line)),
    text,
  );
  socket?.destroy();
});

test('a replica that dies loses no connection that it had not accepted', async () => {
  await using supervisor = await listeners();
  const [first, second] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  await Promise.all([first, second].map(stopped));
  const sockets = await opened(port, 100);
  const said = Promise.all(sockets.map(saidBy));
  await killed(supervisor, first);
  process.kill(second, 'SIGCONT');
  assert.equal([...new Set(await said)], [second]);
});

test('connections wait while every replica is dead, for those that come next', async () => {
  await using supervisor = await listeners();
  const [first, second] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  await Promise.all([first, second].map(stopped));
  const sockets = await opened(port, 50);
  const said = Promise.all(sockets.map(saidBy));
  await Promise.all([killed(supervisor, first), killed(supervisor, second)]);
  await until(() => upPids(supervisor).length === 2, 'two replicas');
  assert.is(await portOfAll(supervisor), port);
  const pids = new Set(await said);
  assert.ok(
    [...pids].every((pid) => upPids(supervisor).includes(pid)),
    [...pids].join(),
  );
});

test('connections wait as well where the last one that listens leaves, while another that died comes back', async () => {
  await using supervisor = await listeners();
  const [first] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  const up = next(supervisor, 'up');
  await killed(supervisor, first);
  await up; // it does not listen before it is asked to
  await supervisor.resize(1);
  const sockets = await opened(port, 10);
  const said = Promise.all(sockets.map(saidBy));
  const back = pidAt(upPids(supervisor), 0);
  assert.is((await listenIn(back, { port: 0 })).address.port, port);
  assert.equal([...new Set(await said)], [back]);
});

test('one that died and has come back is waited for no more: those that leave close the port', async () => {
  await using supervisor = await listeners();
  const [first, second] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  const up = next<[{ pid: number }]>(supervisor, 'up');
  await killed(supervisor, first);
  const [{ pid }] = await up;
  await listenIn(pid, { port: 0 });
  for (const leaves of [second, pid]) process.kill(leaves, 'SIGTERM'); // the next ones do not listen
  await until(() => refused(port), 'the port to be closed');
});

test('where all replicas have died and none comes, the port is closed', async () => {
  await using supervisor = await listeners({ restart: 'temporary' });
  const [first, second] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  await killed(supervisor, first);
  assert.is(Number(await answerOf(port)), second);
  await killed(supervisor, second);
  await until(() => refused(port), 'the port to be closed');
});

test('a server can be closed and listen on its port again at once, in all replicas', async () => {
  await using supervisor = await listeners();
  const pids = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  await Promise.all(pids.map((pid) => ask(pid, 'close'))); // one that was asked for by 0 is another to node:cluster
  await until(() => refused(port), 'the port to be closed');
  await listenAll(supervisor, { port });
  const errors = await Promise.all(pids.map((pid) => ask(pid, 'reopen', { times: 150 })));
  assert.equal(errors, [undefined, undefined]);
});

(hasPrlimit ? test : test.skip)('without a free descriptor connections wait, at no cost of CPU', async () => {
  await using supervisor = await listeners({ replicas: 1 });
  const [pid] = upPids(supervisor) as [number];
  const port = await portOfAll(supervisor);
  limitDescriptors(pid, openFiles(pid).length + 1); // ours for the accept itself is one of them
  const full = openFiles(pid).length;
  const first = await opened(port, 30);
  limitDescriptors(pid, full - 3); // none is free, whatever was closed meanwhile
  const second = await opened(port, 10);
  const before = await ask<NodeJS.CpuUsage>(pid, 'cpu');
  await sleep(300); // to see what it costs
  const after = await ask<NodeJS.CpuUsage>(pid, 'cpu');
  assert.ok((after.user + after.system - before.user - before.system) / 1000 < 100);
  limitDescriptors(pid, 1024);
  assert.equal([...new Set(await Promise.all([...first, ...second].map(saidBy)))], [pid]);
});

test('what only a broken replica asks is refused', async () => {
  await using supervisor = await listeners();
  const [first, second] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  const act = 'ballermannListen';
  await ask(first, 'hostile', {
    messages: [
      { act },
      { act, index: 0, port: 1e9, addressType: 4 },
      { act, index: 0, port: -1, addressType: -1, address: { path: '/' } },
      { act, index: 0, port: 0, addressType: 4, address: 'no address' },
      { act, index: 0, port: 0, addressType: 7 },
      { act: 'close' },
      { act: 'close', key: `ballermann:${HOST}:${port}:4:17` },
    ],
  });
  assert.is(new Set(await answers(port, 40)).size, 2);
  assert.equal(twoPids(supervisor), [first, second]);
});

(hasPrlimit ? test : test.skip)(
  'listen without a free descriptor is an error event, and can be tried again',
  async () => {
    await using supervisor = await listeners({ replicas: 1 });
    const [pid] = upPids(supervisor) as [number];
    const open = new Set(openFiles(pid).map(({ fd }) => fd));
    let full = 0; // the limit under which no number is free
    while (open.has(full)) full++;
    // None: the socket does not arrive. One: it does, and is one too many.
    for (const free of [0, 1]) {
      limitDescriptors(pid, full + free);
      const { error } = await listenIn(pid, { port: 0, host: undefined });
      assert.equal({ code: error?.code, syscall: error?.syscall }, { code: 'EMFILE', syscall: 'listen' });
      assert.is(error?.message, 'listen EMFILE: too many open files ::');
      limitDescriptors(pid, 1024);
    }
    const { address } = await listenIn(pid, { port: 0 });
    assert.is(Number(await answerOf(address.port)), pid);
  },
);

test('an error that has no name here is one all the same, and a number is given back once', () => {
  const error = listenError(-99_999, { address: '127.0.0.1', port: 80, addressType: 4 });
  assert.is(error.message, 'listen UNKNOWN: unknown error 127.0.0.1:80');
  const place = { address: '127.0.0.1', port: 80, addressType: 4 };
  const first = places.take(place);
  first.free();
  const second = places.take(place);
  first.free(); // as a handle that is closed twice
  assert.equal([first.index, second.index, places.take(place).index], [0, 0, 1]);
});

test.run();
