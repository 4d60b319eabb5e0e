/** Replicas that a debugger may stop: however long they stand still, nobody takes them for late, blocked or hung. */

import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { cast, type SupervisorOptions, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { mayBeDebugged } from '#src/primary/supervision/exec-argv.js';
import { next, rejects, until } from '../support/helpers.js';
import { Folder, later } from '../support/processes.js';

const limits: Partial<SupervisorOptions> = {
  replicas: 1,
  blockedAfter: 100,
  hangTimeout: 300,
  shutdown: 100,
  restart: 'temporary',
  log: false,
};

/** Lets a process go on that waits for its debugger. */
async function goOn(port: number): Promise<void> {
  const url = await until(async () => {
    const response = await fetch(`http://127.0.0.1:${port}/json/list`).catch(() => undefined);
    const list = (await response?.json()) as { webSocketDebuggerUrl: string }[] | undefined;
    return list?.[0]?.webSocketDebuggerUrl;
  }, 'the inspector');
  const socket = new WebSocket(url as string);
  await once(socket, 'open');
  socket.send(JSON.stringify({ id: 1, method: 'Runtime.runIfWaitingForDebugger' }));
  await once(socket, 'message');
  socket.close();
}

test('a replica under a debugger is neither late, blocked nor hung', async () => {
  using folder = new Folder();
  const replica = import.meta.resolve('ballermann/replica');
  const exec = folder.script(
    'replica.mjs',
    `import { handle } from '${replica}'; handle(() => { for (;;); });`,
  );
  const forked = once(cluster, 'fork') as Promise<[Worker]>;
  const starting = later(supervise({ exec, ...limits, readyTimeout: 500, execArgv: ['--inspect-brk'] }));
  const [worker] = await forked;
  // One that is late by the same limit: the other has had as much time.
  const late = folder.script('late.mjs', 'setInterval(() => {}, 1_000);');
  await rejects(supervise({ exec: late, ...limits, readyTimeout: 500 }), 'ERR_START_FAILED');
  assert.is(worker.isDead(), false);
  const port = worker.process.spawnargs.find((argument) => argument.startsWith('--inspect-port='));
  await goOn(Number(port?.split('=')[1]));
  await using supervisor = await starting;

  const events: string[] = [];
  for (const name of ['blocked', 'hung', 'down'] as const) supervisor.on(name, () => events.push(name));
  await using other = await supervise({ exec, ...limits });
  const hung = later(next(other, 'hung'));
  cast(supervisor.children()[0]?.pid as number, 'stand still');
  cast(other.children()[0]?.pid as number, 'stand still');
  await hung;
  assert.equal(events, []);
});

test('which options let a debugger in', () => {
  for (const option of [
    '--inspect',
    '--inspect-brk',
    '--inspect-wait',
    '--inspect=0',
    '--inspect-brk=127.0.0.1:9229',
  ]) {
    assert.ok(mayBeDebugged(['--no-warnings', option], {}), option);
    assert.ok(mayBeDebugged([], { NODE_OPTIONS: `--no-warnings ${option}` }), option);
  }
  for (const option of ['--inspect-port=0', '--inspect-publish-uid=http', '--inspector'])
    assert.not.ok(mayBeDebugged([option], { NODE_OPTIONS: option }), option);
});

test.run();
