/** SIGTERM and SIGINT at random moments, from the start of the first replica on, with calls in flight. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, until } from '../support/helpers.js';
import { Folder, isAlive, type Line } from '../support/processes.js';
import { rounds } from '../support/rounds.js';

/** Up to so many ms after the primary has said that, the signal comes: in the start of the replicas, or under load. */
const MOMENTS = { guarded: 500, ready: 150 } as const;

/** What one round had, added up by the test. */
interface Round {
  readonly wasReady: boolean;
  readonly made: number;
}

async function round(signal: NodeJS.Signals, isForAll: boolean, since: keyof typeof MOMENTS): Promise<Round> {
  const moment = Math.random() * MOMENTS[since];
  const what = `${signal} to ${isForAll ? 'the group' : 'the primary'} ${moment.toFixed(1)} ms after '${since}'`;
  using folder = new Folder();
  const script = fileURLToPath(fixture('failures/loaded.mjs'));
  const child = spawn(process.execPath, [script, folder.path], {
    detached: true, // a group of its own
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: Line[] = [];
  const said = (type: string): Line[] => lines.filter((line) => line.type === type);
  const output = createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line)));
  const closed = once(output, 'close'); // when the last process is gone that could write
  try {
    await until(() => said(since).length > 0, `the primary to be ${since}`);
    await sleep(moment);
    const pid = child.pid as number;
    process.kill(isForAll ? -pid : pid, signal);
    await until(() => child.exitCode !== null || child.signalCode !== null, `the end after ${what}`);
  } finally {
    child.kill('SIGKILL');
  }
  await closed;
  assert.equal([child.exitCode, child.signalCode], [0, null], `${what}: ${JSON.stringify(lines)}`);
  const pids = said('fork').map(({ pid }) => pid as number);
  assert.ok(pids.length >= 2, what);
  assert.equal(pids.filter(isAlive), [], what);

  const [end] = said('exit') as [{ made: number; answered: number; failures: string[] } & Line];
  assert.is(end.answered + end.failures.length, end.made, `every call is settled: ${what}`);
  // None that was sent is lost; each of the 20 callers is then told once that it is over.
  const others = end.failures.filter((code) => code !== 'ERR_DISCONNECTED');
  assert.equal(others, [], what);
  const wasReady = said('ready').length > 0;
  assert.is(end.failures.length, wasReady ? 20 : 0, what);
  return { wasReady, made: end.made };
}

test('SIGTERM and SIGINT at random moments with calls in flight: each is settled, all are gone, the exit is 0', async () => {
  const count = rounds(10);
  let calls = 0;
  let loaded = 0;
  for (let i = 0; i < count; i++) {
    const signal = i & 1 ? 'SIGINT' : 'SIGTERM';
    const since = i & 4 ? 'guarded' : 'ready';
    const { wasReady, made } = await round(signal, (i & 2) > 0, since);
    calls += made;
    if (wasReady) loaded++;
  }
  console.log(`${count} signals, ${loaded} of them under load, ${calls} calls, none lost`);
});

test('a signal that ends a starting replica before the primary reads its own: an orderly end, no failed start', async () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    using folder = new Folder();
    // Node runs it before the preload: nothing listens for the signal yet.
    const early = folder.script('early.cjs', `process.kill(process.pid, '${signal}');`);
    const script = folder.script(
      'main.mjs',
      `import cluster from 'node:cluster';
      import { supervise } from ${JSON.stringify(import.meta.resolve('ballermann'))};
      cluster.once('exit', () => process.nextTick(() => process.kill(process.pid, '${signal}')));
      const NODE_OPTIONS = '--require ' + process.argv[2];
      await supervise({ exec: import.meta.filename, replicas: 1, env: { NODE_OPTIONS } });`,
    );
    const child = spawn(process.execPath, [script, early], { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      errors += text;
    });
    await until(() => child.exitCode !== null || child.signalCode !== null, 'its end');
    assert.equal([child.exitCode, child.signalCode], [0, null], errors);
  }
});

test.run();
