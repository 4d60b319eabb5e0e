/** When a replica is ready: whatever it listens on, its own word, or the process alone. */

import cluster, { type Worker } from 'node:cluster';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { stat } from 'node:fs';
import net, { createServer } from 'node:net';
import { type Supervisor, type SupervisorOptions, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { LISTEN } from '#src/channel/listening.js';
import { busyUntil } from '../support/blocking.js';
import { fixture, rejects, until } from '../support/helpers.js';
import { Folder, statesOf } from '../support/processes.js';

type CreateHandle = (address: string, port: number, addressType: number) => { fd: number };

const exec = fixture('start/readiness.mjs');

function one(way: string, value = '', options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  return supervise({ exec, replicas: 1, args: [way, value], ...options });
}

/** Notes who is up as soon as the primary takes it for that: `supervise` resolves some turns later. */
function noting(ups: string[]): NonNullable<SupervisorOptions['log']> {
  return { info: (_, text) => void (text.endsWith('is up') && ups.push(text)), warn() {}, error() {} };
}

/** Resolves when a replica has sent that. */
async function heard(text: string): Promise<void> {
  let isHeard = false;
  const note = (_: Worker, message: unknown): void => {
    isHeard ||= message === text;
  };
  cluster.on('message', note);
  await until(() => isHeard, text, 30_000).finally(() => cluster.off('message', note));
}

test('whatever a replica listens on makes it ready', async () => {
  using folder = new Folder();
  const { fd } = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle(
    '127.0.0.1',
    0,
    4,
  );
  const busy = createServer().listen(0, '127.0.0.1');
  await once(busy, 'listening');
  const { port } = busy.address() as net.AddressInfo;
  void heard('in use').then(() => busy.close());
  const ways: [way: string, value?: string][] = [
    ['exclusive'],
    ['reusePort'],
    ['path', folder.at('socket')],
    ['exclusivePath', folder.at('own')],
    ['descriptor', `${fd}`],
    ['datagrams'],
    ['exclusiveDatagrams'],
    ['reusePortDatagrams'],
    ['retried', `${port}`],
    ['message'],
  ];
  if ('bindSync' in dgram.Socket.prototype) ways.push(['datagramsAtOnce']);
  const started = await Promise.allSettled(ways.map(([way, value]) => one(way, value)));
  await Promise.all(started.map((start) => start.status === 'fulfilled' && start.value.close()));
  const failed = ways.filter((_, i) => started[i]?.status === 'rejected').map(([way]) => way);
  assert.equal(failed, []);
});

test('a datagram socket that only sends makes nobody ready', async () => {
  using folder = new Folder();
  const ups: string[] = [];
  const starting = one('senders', folder.at('gate'), { log: noting(ups) });
  await heard('senders are bound');
  assert.equal(ups, []);
  folder.open('gate');
  await using supervisor = await starting;
  assert.is(supervisor.children()[0]?.state, 'up');
});

for (const word of ['ready()', 'message']) {
  test(`waitReady 'ready': neither handle() nor a port that listens, but ${word}`, async () => {
    using folder = new Folder();
    const ups: string[] = [];
    const starting = one('tooEarly', folder.at(word), { waitReady: 'ready', log: noting(ups) });
    await heard('listens');
    assert.equal(ups, []);
    folder.open(word);
    await using supervisor = await starting;
    assert.is(supervisor.children()[0]?.state, 'up');
  });
}

test('who does not get ready is told what was waited for', async () => {
  const late = { waitReady: 'ready', readyTimeout: 1_500 } as const;
  await rejects(one('exclusive', '', late), {
    code: 'ERR_START_FAILED',
    message:
      /not ready within 1500 ms \(readyTimeout\): it has not called ready\(\), and with waitReady: 'ready' nothing/,
  });
});

test('a primary that is busy while a replica begins to listen hears of the place before it is ready', async () => {
  using folder = new Folder();
  const listens = folder.at('listens');
  const order: string[] = [];
  cluster.once('fork', (worker) => {
    worker.once('listening', () => order.push('listening'));
    worker.process.on('internalMessage', ({ act }) => {
      if (act === LISTEN) setImmediate(() => stat('.', () => busyUntil(listens))); // it has its answer; and after a poll
    });
  });
  await using _ = await one('listensThenFile', listens);
  order.push('ready');
  assert.equal(order, ['listening', 'ready']);
});

/** As soon as the next replica's process runs, and before the primary has read anything else of it. */
function whenOnline(act: (pid: number) => void): void {
  cluster.once('fork', (worker) =>
    worker.once('online', () => setImmediate(act, worker.process.pid as number)),
  );
}

test('who is ready in time is up, though the primary comes to read it when the time is over', async () => {
  using folder = new Folder();
  const readyTimeout = 3_000;
  whenOnline(() => {
    const end = performance.now() + readyTimeout;
    busyUntil(folder.at('ready'));
    while (performance.now() < end);
  });
  await using supervisor = await one('readyThenFile', folder.at('ready'), { readyTimeout });
  assert.is(supervisor.children()[0]?.state, 'up');
});

test('who ends as soon as it is ready was up, though the primary learns both at once', async () => {
  const ups: string[] = [];
  whenOnline((pid) => {
    while (statesOf(pid).join() !== 'Z'); // the last of its threads has ended
  });
  await using _ = await one('readyThenGone', '', { restart: 'temporary', log: noting(ups) });
  assert.is(ups.length, 1);
});

test.run();
