/** The connections of one remote go to one replica: Socket.IO's long polling, which needs it, and what else there is to it. */

import { fork, spawnSync } from 'node:child_process';
import cluster, { type Address, type Worker } from 'node:cluster';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import {
  applyWithin,
  balance,
  type Remote,
  type StickyKey,
  type SupervisorOptions,
  supervise,
} from 'ballermann';
import { io, type Socket } from 'socket.io-client';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hash } from '#src/primary/listening/sticky.js';
import { safely } from '#src/primary/listening/sticky-key.js';
import { standStill, stopped } from '../support/failing.js';
import { upPids, watch } from '../support/gate.js';
import { fixture, killed, next, tally, times, until } from '../support/helpers.js';
import { answerOf, HOST } from '../support/listening.js';
import { Folder, openFiles } from '../support/processes.js';

async function servers(options: Partial<SupervisorOptions> = {}) {
  const listening = next<[Worker, Address]>(cluster, 'listening');
  const supervisor = await supervise({ exec: fixture('sticky.mjs'), replicas: 3, sticky: true, ...options });
  const [, { port }] = await listening;
  return { supervisor, port, [Symbol.asyncDispose]: () => supervisor.close() };
}

/** The pid that answers a request from one of the addresses of this machine. */
async function served(port: number, localAddress: string = HOST): Promise<number> {
  const socket = connect({ port, host: HOST, localAddress });
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  let text = '';
  for await (const part of socket) text += part;
  return Number(/\r\n\r\n(\d+)$/.exec(text)?.[1]);
}

const addresses = Array.from({ length: 30 }, (_, i) => `127.0.0.${i + 2}`);

test('a session of Socket.IO stays with its replica, by long polling', async () => {
  await using running = await servers();
  const clients: Socket[] = Array.from({ length: 6 }, () =>
    io(`http://${HOST}:${running.port}`, { transports: ['polling'], forceNew: true, reconnection: false }),
  );
  await Promise.all(clients.map((client) => once(client as never, 'connect')));
  for (const client of clients) {
    for (let i = 1; i <= 5; i++) {
      const { count } = await client.timeout(10_000).emitWithAck('message', 'text');
      assert.is(count, i);
    }
  }
  for (const client of clients) client.close();
});

test('each address has one replica, and the replicas have about as many each', async () => {
  await using running = await servers();
  const first = await Promise.all(addresses.map((address) => served(running.port, address)));
  const second = await Promise.all(addresses.map((address) => served(running.port, address)));
  assert.equal(first, second);
  assert.is(tally(first).size, 3);
});

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0;

(hasPrlimit ? test : test.skip)(
  'a connection for a replica that has no descriptor for it waits until it has one',
  async () => {
    await using running = await servers({ replicas: 1 });
    const [pid] = upPids(running.supervisor) as [number];
    const limit = (count: number) => spawnSync('prlimit', ['--pid', `${pid}`, `--nofile=${count}:`]).status;
    assert.is(limit(3), 0);
    const answer = watch(served(running.port));
    await sleep(100); // to be lost on its way
    assert.is(answer.settled, false);
    assert.is(limit(1024), 0);
    await until(() => answer.settled, 'an answer');
  },
);

test('who comes and goes moves only its own', async () => {
  await using running = await servers();
  const before = await Promise.all(addresses.map((address) => served(running.port, address)));
  const [gone] = upPids(running.supervisor) as [number];
  const up = next(running.supervisor, 'up');
  await killed(running.supervisor, gone);
  await up;
  const [back] = upPids(running.supervisor).filter((pid) => !before.includes(pid)) as [number];
  const after = await Promise.all(addresses.map((address) => served(running.port, address)));
  assert.equal(
    after,
    before.map((pid) => (pid === gone ? back : pid)),
  );
});

test('a connection that was sent to a replica which dies before it takes it goes to another', async () => {
  let given = 0;
  const sticky = ({ address }: Remote): string => {
    given++; // and sent in the same turn
    return String(address);
  };
  await using running = await servers({ sticky });
  const chosen = await served(running.port);
  await stopped(chosen);
  const answer = served(running.port);
  await until(() => given === 2, 'the connection to be sent');
  await killed(running.supervisor, chosen);
  assert.ok(upPids(running.supervisor).includes(await answer));
});

/** What a function may do that gives no key. */
const keyless: [what: string, sticky: () => unknown, warning: RegExp][] = [
  ['throws', () => raise(new Error("the application's own")), /threw Error: the application's own;/],
  ['throws nothing', () => raise(undefined), /threw Error: undefined;/],
  ['throws what cannot be read', () => raise(hostile), /threw Error: an error that cannot be read;/],
  ['returns nothing', () => {}, /returned undefined instead of a string;/],
  ['returns null', () => null, /returned null instead of a string;/],
  ['returns NaN', () => Number.NaN, /returned NaN instead of a string;/],
  ['returns an object', () => ({ key: 1 }), /returned \{ key: 1 \} instead of a string;/],
  [
    'returns what cannot be shown',
    () => ({ [inspect.custom]: () => raise(1) }),
    /cannot be shown instead of a string;/,
  ],
  ['is async', async () => 'key', /returned a promise instead of a string: the function cannot be async;/],
  ['is async and throws', async () => raise(new Error('too late')), /cannot be async;/],
];

const hostile = new Proxy(new Error(), { get: () => raise(new Error('a getter that throws')) });

function raise(error: unknown): never {
  throw error;
}

test('a function that gives no key has connections go by their address, and says so', () => {
  for (const [what, sticky, warning] of keyless) {
    const warnings: [text: string, thrown?: Error | undefined][] = [];
    const key = safely(sticky as unknown as StickyKey, (...warned) => warnings.push(warned));
    for (let i = 0; i < 3; i++) assert.is(key({ address: '10.0.0.1', port: 1 }), '10.0.0.1', what);
    assert.is(key({ address: undefined, port: undefined }), '', what);
    assert.is(warnings.length, 1, `${what}: once a minute is enough`);
    const [[text, thrown]] = warnings as [[string, Error?]];
    assert.match(text, warning);
    assert.is(thrown !== undefined, what.startsWith('throws'), what);
  }
  const number = safely((() => 7) as unknown as StickyKey, () => assert.unreachable());
  assert.is(number({ address: '10.0.0.1', port: 1 }), '7');
});

test('whatever the function does, the primary goes on, and so does the connection', async () => {
  let sticky: () => unknown = () => 'all the same';
  const warnings: string[] = [];
  const warn = (fields: { event?: string }, text: string): void => {
    if (fields.event === 'stickyFailed') warnings.push(text);
  };
  const log = { info() {}, warn, error() {} };
  await using running = await servers({ sticky: () => sticky() as string, log });
  const pids: number[] = [];
  for (const [, odd] of keyless) {
    sticky = odd;
    pids.push(await served(running.port));
  }
  assert.is(tally(pids).size, 1, 'they go by their address');
  assert.ok(upPids(running.supervisor).includes(pids[0] as number));
  assert.equal(warnings, [
    "ballermann: sticky.mjs: the sticky function threw Error: the application's own; this connection goes by its address",
  ]);
});

test('a client that is gone before its connection is accepted costs that connection, and the function is not asked', async () => {
  const remotes: Remote[] = [];
  const sticky = (remote: Remote): string => {
    remotes.push(remote);
    return (remote.address as string).slice(0, 7);
  };
  await using running = await servers({ sticky });
  using folder = new Folder();
  const clients = fork(fixture('resets.mjs'), [`${running.port}`, '50', folder.at('done')]);
  standStill(() => folder.has('done'), 'fifty clients to come and go');
  assert.ok(upPids(running.supervisor).includes(await served(running.port)));
  assert.ok(remotes.every(({ address }) => address !== undefined));
  if (clients.exitCode === null) await once(clients, 'exit');
});

test('a function says what belongs together', async () => {
  const remotes: Remote[] = [];
  const sticky = (remote: Remote): string => {
    remotes.push(remote);
    return 'all the same';
  };
  await using running = await servers({ sticky });
  const pids = await Promise.all(addresses.map((address) => served(running.port, address)));
  assert.is(new Set(pids).size, 1);
  assert.equal(remotes.map(({ address }) => address).sort(), [...addresses].sort());
  assert.ok(remotes.every(({ port }) => (port as number) > 0));
});

test('a replica cannot answer for a connection that another one was sent', async () => {
  let given = 0;
  const sticky = (): string => `all the same${++given > 0}`;
  await using running = await servers({ sticky });
  const chosen = await served(running.port);
  const fellow = Object.values(cluster.workers ?? {}).find((worker) => worker?.process.pid !== chosen);
  await stopped(chosen); // it is sent the next one, and does not answer
  const answered = served(running.port);
  await until(() => given === 2, 'the connection to be accepted');
  for (let ack = -1; ack > -1_000; ack--) {
    const forged = { cmd: 'NODE_CLUSTER', ack, accepted: true };
    fellow?.process.emit('internalMessage' as 'message', forged, undefined as never);
  }
  await killed(running.supervisor, chosen);
  assert.ok(upPids(running.supervisor).includes(await answered)); // else nobody would have it any more
});

test('in a window connections wait in the backlog, and the primary keeps none of those that leave', async () => {
  await using running = await servers();
  await using _pool = await balance(running.supervisor, 'sticky');
  await served(running.port);
  const open = () => openFiles(process.pid).length;
  let waiting: Promise<number>[] = [];
  await applyWithin('sticky', async () => {
    const before = open();
    const leaving = times(30, () => connect(running.port, HOST).on('error', () => {}));
    await Promise.all(leaving.map((socket) => once(socket, 'connect')));
    await sleep(200); // they could have been accepted by now
    assert.ok(
      open() - before <= 30 + 1,
      `${open() - before} descriptors for the 30 that the clients have here`,
    );
    for (const socket of leaving) socket.destroy();
    await until(
      () => open() - before <= 1,
      () => `${open() - before} descriptors left`,
    );
    waiting = times(5, () => served(running.port));
    const state = watch(Promise.any(waiting));
    await sleep(200);
    assert.not(state.settled);
  });
  for (const pid of await Promise.all(waiting)) assert.ok(upPids(running.supervisor).includes(pid));
});

test('the end of the supervisor closes the port', async () => {
  const { supervisor, port } = await servers();
  await supervisor.close();
  await until(
    () =>
      answerOf(port).then(
        () => false,
        ({ code }) => code === 'ECONNREFUSED',
      ),
    'the port to be closed',
  );
});

test('the hash spreads neighbours evenly', () => {
  const counts = tally(Array.from({ length: 30_000 }, (_, i) => hash(`1 10.0.${i >> 8}.${i & 255}`) % 3));
  for (const count of counts.values())
    assert.ok(Math.abs(count - 10_000) < 500, `counts: ${[...counts.values()]}`);
});

test.run();
