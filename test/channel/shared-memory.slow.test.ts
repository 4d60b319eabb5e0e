/** The channel in shared memory from outside: what it costs where nothing is said, and what it leaves to others while very much is. */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { balance, call } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { busyUntil } from '../support/blocking.js';
import { tapped } from '../support/forging.js';
import { pidAt, upPids } from '../support/gate.js';
import { fixture, start, times, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

const KB = 1024;

/** What echo.mjs answers. */
interface Echo<T = string> {
  readonly echo: T;
}

/** KiB of memory that the channels of this process have, all together. */
function channelMemory(): number {
  const mappings = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[\da-f]+-[\da-f]+ )/m);
  const ofChannels = mappings.filter((mapping) => mapping.includes('memfd:ballermann.channel'));
  return ofChannels.reduce((sum, mapping) => sum + Number(/^Rss: +(\d+) kB/m.exec(mapping)?.[1]), 0);
}

test('a channel has little memory, and gives back what large messages have needed', async () => {
  await using supervisor = await start({ replicas: 2 });
  await using pool = await balance(supervisor, 'pool');
  for (let i = 0; i < 200; i++) await pool.call(i);
  const idle = channelMemory() / 2;
  assert.ok(idle > 0 && idle <= 64, `${idle} KiB for one replica`);
  const large = 'x'.repeat(1024 * KB);
  await Promise.all(times(8, () => pool.call(large)));
  assert.ok(channelMemory() > 1 * KB, 'it was needed');
  await until(
    () => channelMemory() / 2 <= 64,
    () => `the memory to be given back; there are ${channelMemory()} KiB`,
  );
  assert.is((await pool.call<Echo>(large)).echo.length, large.length);
});

test('a channel is closed with its replica: no descriptor and no memory is left', async () => {
  await using supervisor = await start({ replicas: 1 });
  const before = channelMemory();
  assert.ok(before > 0);
  await supervisor.resize(3);
  await supervisor.resize(1);
  await until(() => channelMemory() <= before + 8, 'the memory of two channels to go');
  await supervisor.close();
  await until(() => channelMemory() === 0, 'the last one to go');
});

test('a flood of calls leaves timers and sockets their turns', async () => {
  await using supervisor = await start({ replicas: 2 });
  await using pool = await balance(supervisor, 'pool');
  const server = createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  let isFlooding = true;
  let flood = 0;
  const flooding = times(1_000, async () => {
    while (isFlooding) {
      await pool.call(flood);
      flood++;
    }
  });
  let echoes = 0;
  socket.on('data', () => {
    echoes++;
    socket.write('x');
  });
  socket.write('x');
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await until(() => flood >= 20_000, 'the flood', 30_000);
  isFlooding = false;
  const [ticked, echoed] = [ticks, echoes];
  await Promise.all(flooding);
  clearInterval(timer);
  socket.destroy();
  server.close();
  // A turn takes 2 ms of messages, and then sends as much: 20,000 calls take far more than 20 turns.
  assert.ok(ticked >= 20, `${ticked} ticks`);
  assert.ok(echoed >= 20, `${echoed} echoes`);
});

test('what one replica sends in large pieces does not keep another one waiting', async () => {
  await using supervisor = await start({ replicas: 2 });
  await using pool = await balance(supervisor, 'pool');
  const [large, small] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  const text = 'x'.repeat(1024 * KB);
  let isSending = true;
  let sent = 0;
  const sending = times(8, async () => {
    while (isSending) {
      await call(large, text);
      sent++;
    }
  });
  await until(() => sent > 8, 'large replies');
  const before = sent;
  for (let i = 0; i < 200; i++) assert.is((await call<Echo<number>>(small, i)).echo, i);
  const meanwhile = sent - before;
  isSending = false;
  await Promise.all(sending);
  assert.ok(meanwhile < 2 * 200, `${meanwhile} replies of 1 MiB came beside 200 small ones`);
});

test('a reply that has come in time counts, however much has come before it', async () => {
  await using supervisor = await start({ exec: fixture('hostile.mjs'), env: tapped, replicas: 1 });
  const [pid] = upPids(supervisor) as [number];
  const operations = times(8, () => ({ op: 'repeat', entry: ['alive'], times: 20_000 }));
  const reply = call(pid, { op: 'several', operations }, { timeout: 100 });
  await turn(); // it goes out
  const began = performance.now();
  while (performance.now() - began < 1_500); // the primary is busy, and the replica answers
  await reply; // it is behind what takes more than one turn to read
});

test('a turn takes only some of what has come', async () => {
  await using supervisor = await start({ exec: fixture('hostile.mjs'), env: tapped, replicas: 1 });
  using folder = new Folder();
  const [pid] = upPids(supervisor) as [number];
  const path = folder.at('written');
  const floods = times(8, () => ({ op: 'repeat', entry: ['alive'], times: 40_000 }));
  const reply = call(pid, { op: 'several', operations: [...floods, { op: 'touch', path }] });
  let isThere = false;
  void reply.then(() => {
    isThere = true;
  });
  await turn();
  busyUntil(path);
  let turns = 0;
  for (; !isThere; turns++) await turn();
  assert.ok(turns >= 4, `${turns} turns for 8 messages that take more than 1 ms each`);
});

test('the small messages of one replica do not wait for all the large ones of another', async () => {
  await using supervisor = await start({ exec: fixture('hostile.mjs'), env: tapped, replicas: 2 });
  using folder = new Folder();
  const [large, small] = upPids(supervisor) as [number, number];
  const order: string[] = [];
  const ask = (pid: number, name: string, length: number, turns: number): Promise<unknown> =>
    call(pid, { op: 'fill', length, turns }).then(() => order.push(name));
  const asked = Array.from({ length: 12 }, (_, i) => [
    ask(large, 'large', 256 * KB, i),
    ask(small, 'small', 1, i),
  ]).flat();
  const paths = [large, small].map((pid) => folder.at(`${pid}`));
  const touched = [large, small].map((pid, i) => call(pid, { op: 'touch', path: paths[i] }));
  await turn(); // they go out
  for (const path of paths) busyUntil(path);
  await Promise.all([...asked, ...touched]);
  const before = order.slice(0, order.lastIndexOf('small')).filter((name) => name === 'large').length;
  assert.ok(before <= 6, `${before} of 12 large ones came before the last small one: ${order.join(' ')}`);
});

test.run();
