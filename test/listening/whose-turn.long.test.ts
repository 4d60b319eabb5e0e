/** Servers of replicas: who gets the next connection where some cannot take it, or could not for a while. */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyWithin, balance } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { stopped } from '../support/failing.js';
import { upPids } from '../support/gate.js';
import { killed, next, tally, until } from '../support/helpers.js';
import {
  answers,
  ask,
  HOST,
  listeners,
  listenIn,
  opened,
  portOfAll,
  type State,
  saidBy,
  spreadEvenly,
  twoPids,
} from '../support/listening.js';
import { Folder, later } from '../support/processes.js';

/** Gives a replica `count` messages that it finishes when the file is there. */
function fill(folder: Folder, pid: number, count: number, gate: string): Promise<unknown> {
  return later(Promise.all(Array.from({ length: count }, () => ask(pid, 'hold', { file: folder.at(gate) }))));
}

/** How many connections these replicas have accepted, each after some turns of its event loop. */
async function accepted(pids: readonly number[]): Promise<number[]> {
  for (let turn = 0; turn < 3; turn++) await Promise.all(pids.map((pid) => ask(pid, 'state')));
  const states = await Promise.all(pids.map((pid) => ask<State>(pid, 'state')));
  return states.map((state) => state.accepted);
}

test('in a window nothing is accepted, at no cost of CPU; afterwards all are served', async () => {
  await using supervisor = await listeners();
  const pids = twoPids(supervisor);
  await using _pool = await balance(supervisor, 'windowed');
  await using _other = await balance(supervisor, 'other pool of the same replicas');
  const port = await portOfAll(supervisor);
  let sockets: Socket[] = [];
  const spent: number[] = [];
  await applyWithin('windowed', async () => {
    sockets = await opened(port, 20);
    const before = await Promise.all(pids.map((pid) => ask<NodeJS.CpuUsage>(pid, 'cpu')));
    await sleep(500); // to see what it costs
    const after = await Promise.all(pids.map((pid) => ask<NodeJS.CpuUsage>(pid, 'cpu')));
    for (const [i, { user, system }] of after.entries())
      spent.push((user + system - (before[i]?.user ?? 0) - (before[i]?.system ?? 0)) / 1000);
    for (const pid of pids) assert.is((await ask<State>(pid, 'state')).accepted, 0);
  });
  assert.ok(Math.max(...spent) < 150, `ms of CPU in 500 ms: ${spent}`);
  const said = await Promise.all(sockets.map(saidBy));
  assert.ok(said.every((pid) => pids.includes(pid)));
});

test('a replica with maxQueueLength unfinished messages gets no connection, and if all have, they wait', async () => {
  using folder = new Folder();
  await using supervisor = await listeners();
  await using _pool = await balance(supervisor, 'of short queues', { maxQueueLength: 3 });
  const [first, second] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  const filled = [fill(folder, first, 3, 'first'), fill(folder, second, 2, 'second')];
  assert.equal([...new Set(await answers(port, 100, 4))], [second]);
  filled.push(fill(folder, second, 1, 'second'));
  const before = await accepted([first, second]);
  const sockets = await opened(port, 20);
  const said = Promise.all(sockets.map(saidBy));
  assert.equal(await accepted([first, second]), before);
  folder.open('first');
  assert.equal([...new Set(await said)], [first], 'they have waited for who could take them');
  folder.open('second');
  await Promise.all(filled);
  assert.is(new Set(await answers(port, 100, 4)).size, 2, 'both again');
});

test('of several pools the shortest maxQueueLength counts while that pool is open, for new replicas too', async () => {
  using folder = new Folder();
  await using supervisor = await listeners({ replicas: 1 });
  const port = await portOfAll(supervisor);
  await using _unlimited = await balance(supervisor, 'unlimited');
  await using _long = await balance(supervisor, 'long', { maxQueueLength: 4 });
  const short = await balance(supervisor, 'short', { maxQueueLength: 2 });
  await supervisor.resize(2);
  const [first, second] = twoPids(supervisor);
  assert.is((await listenIn(second, { port: 0 })).address.port, port);
  const filled = [first, second].map((pid) => fill(folder, pid, 2, 'gate'));
  const sockets = await opened(port, 10);
  const said = Promise.all(sockets.map(saidBy));
  assert.equal(await accepted([first, second]), [0, 0]);
  await short.close();
  assert.is((await said).length, 10);
  filled.push(...[first, second].map((pid) => fill(folder, pid, 2, 'gate')));
  const before = await accepted([first, second]);
  const late = await opened(port, 10);
  const saidLate = Promise.all(late.map(saidBy));
  assert.equal(await accepted([first, second]), before);
  folder.open('gate');
  await Promise.all(filled);
  assert.is((await saidLate).length, 10);
});

test('a blocked replica gets no connection while others can, and no burst afterwards', async () => {
  using folder = new Folder();
  await using supervisor = await listeners({ blockedAfter: 250 });
  const [first, second] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  const blocked = ask(first, 'block', { file: folder.at('blocked') });
  await next(supervisor, 'blocked'); // for longer than a moment, which it would be given back
  const meanwhile = await answers(port, 200, 4);
  const unblocked = next(supervisor, 'unblocked');
  folder.shut('blocked');
  assert.equal([...new Set(meanwhile)], [second]);
  await Promise.all([blocked, unblocked]);
  const afterwards = tally(await answers(port, 200, 4)).get(first) ?? 0;
  assert.ok(afterwards >= 50 && afterwards <= 150, `${afterwards} of 200; a burst would be all`);
  await spreadEvenly(supervisor, port, { count: 200, lead: 40, together: 4 });

  // The same where it comes back while the other is blocked.
  const again = ask(first, 'block', { file: folder.at('again') });
  await next(supervisor, 'blocked');
  assert.equal([...new Set(await answers(port, 200, 4))], [second]);
  const other = ask(second, 'block', { file: folder.at('other') });
  await next(supervisor, 'blocked');
  folder.shut('again');
  await again;
  assert.equal([...new Set(await answers(port, 4, 1))], [first]);
  folder.shut('other');
  await other;
  const evenly = tally(await answers(port, 200, 4)).get(first) ?? 0;
  assert.ok(evenly >= 50 && evenly <= 150, `${evenly} of 200; a burst would be all`);
});

test('who begins to listen in a window, when nobody may accept, is level with the others', async () => {
  await using supervisor = await listeners();
  await using _pool = await balance(supervisor, 'joined in a window');
  const [first] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  await answers(port, 600);
  let joined = 0;
  await applyWithin('joined in a window', async () => {
    const up = next<[{ pid: number }]>(supervisor, 'up');
    await killed(supervisor, first);
    [{ pid: joined }] = await up;
    assert.is((await listenIn(joined, { port: 0 })).address.port, port);
  });
  const had = tally(await answers(port, 200, 4)).get(joined) ?? 0;
  assert.ok(had >= 50 && had <= 150, `${had} of 200; all until it has had 300 would be all`);
});

test('a replica that was blocked accepts as soon as its loop turns, also while the primary stands still', async () => {
  using folder = new Folder();
  await using supervisor = await listeners({ replicas: 1, blockedAfter: 250 });
  const [pid] = upPids(supervisor) as [number];
  const port = await portOfAll(supervisor);
  const blocked = ask(pid, 'block', { file: folder.at('blocked') });
  await next(supervisor, 'blocked');
  folder.shut('blocked');
  const client = `require('node:net').connect(${port}, '${HOST}').pipe(process.stdout)`;
  const { stdout } = spawnSync(process.execPath, ['-e', client], { encoding: 'utf8', timeout: 5_000 });
  assert.is(Number(stdout), pid);
  await blocked;
});

test('a replica that was blocked lately takes connections one by one, so that few wait if it is again', async () => {
  using folder = new Folder();
  await using supervisor = await listeners({ replicas: 1, blockedAfter: 250 });
  const [pid] = upPids(supervisor) as [number];
  const port = await portOfAll(supervisor, { manner: 'standStill', file: folder.at('again') });
  const blocked = ask(pid, 'block', { file: folder.at('blocked') });
  await next(supervisor, 'blocked');
  const sockets = await opened(port, 50);
  const said = Promise.all(sockets.map((socket) => once(socket, 'data')));
  folder.open('again');
  folder.shut('blocked');
  await until(() => folder.has('again.accepted'), 'the replica to be blocked again');
  // 8 in a turn without that.
  const taken = await until(() => readFileSync(folder.at('again.accepted'), 'utf8'), 'a number');
  assert.ok(Number(taken) <= 2, `accepted: ${taken}`);
  folder.shut('again');
  await Promise.all([blocked, said]);
  for (const socket of sockets) socket.destroy();
});

test('a stopped replica is passed over as well', async () => {
  await using supervisor = await listeners();
  const [first, second] = twoPids(supervisor);
  const port = await portOfAll(supervisor);
  await stopped(first);
  assert.equal([...new Set(await answers(port, 100, 4))], [second]);
  process.kill(first, 'SIGCONT'); // which may take a busy machine longer than a hundred connections
  await until(async () => (await answers(port, 10)).includes(first), 'the replica goes on');
});

test.run();
