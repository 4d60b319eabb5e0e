/** ERR_TIMEOUT says to whom the message was sent, how old it is, where it is and what keeps it there. */

import { balance, call, ping, type Supervisor, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Custody, inReplica } from '#src/primary/replicas/whereabouts.js';
import { attempt, duringWindow, gated, hold, note, pidAt, release, upPids } from '../support/gate.js';
import { type Failure, fixture, rejects, until } from '../support/helpers.js';
import { Folder, later } from '../support/processes.js';

const brief = { timeout: 60 };

/** Checks what the error says, and that it has the pid of the replica that it names. */
function says(error: Failure | undefined, to: string, where: string, pid?: number): void {
  const text = `^no answer to the ${to} after (\\d+) ms \\(timeout: 60 ms\\): ${where}$`;
  assert.match(error?.message ?? '', new RegExp(text));
  assert.is(error?.pid, pid);
  const age = Number(new RegExp(text).exec(error?.message as string)?.[1]);
  assert.ok(age >= 60 && age < 20_000, `age: ${age}`);
}

test('a call that is running, or whose replica stands still, or that a window holds', async () => {
  using folder = new Folder();
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const [pid, caller] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  const replica = `replica ${pid} \\(gate\\.mjs\\)`;
  const timesOut = (promise: Promise<unknown>) => rejects(promise, 'ERR_TIMEOUT');

  says(await timesOut(call(pid, hold('running'), brief)), 'call', `${replica} is running it`, pid);
  const busy = `${replica} has 1 message and 0 requests unfinished`;
  says(await timesOut(ping(pid, brief)), 'ping', busy, pid);
  const asked = await attempt(caller, 'call', pid, hold('of a replica'), brief);
  says(asked.error, 'call', `${replica} is running it`, pid);
  await release(pid, 'running');
  await release(pid, 'of a replica');

  const held = 'a maintenance window of the pool holds it';
  await duringWindow(pool, async () => {
    says(await timesOut(pool.call(note('never'), brief)), "call to pool 'pool'", held);
    const outcome = await attempt(caller, 'call', 'pool', note('never'), brief);
    says(outcome.error, "call to pool 'pool'", held);
  });

  const file = folder.at('gate');
  const blocked = later(call(pid, { op: 'block', file }));
  await until(() => folder.has('gate.begun'), 'the replica to stand still');
  const standing = `${replica} has it in its mailbox and has not begun it`;
  const behind = await timesOut(call(pid, note('behind'), { timeout: 60 }));
  says(behind, 'call', `${standing}(; its event loop has not turned for \\d+ ms)?`, pid);
  folder.open('gate');
  await blocked;
});

async function readyOnly(): Promise<Supervisor> {
  return supervise({ exec: fixture('start/ready.mjs'), replicas: 1 });
}

test('a replica that has not called handle()', async () => {
  await using supervisor = await readyOnly();
  await using _pool = await balance(supervisor, 'deaf');
  const [pid] = upPids(supervisor) as [number];
  const replica = `replica ${pid} \\(ready\\.mjs\\) has not called handle\\(\\)`;
  await ping(pid);
  const called = later(call('deaf', 'anybody?', { timeout: 1_000 }).catch(() => {}));
  says(
    await rejects(ping(pid, brief), 'ERR_TIMEOUT'),
    'ping',
    `${replica}, and has 1 message and 0 requests unfinished`,
    pid,
  );
  says(await rejects(call('deaf', 'anybody?', brief), 'ERR_TIMEOUT'), "call to pool 'deaf'", replica, pid);
  await called;
});

test('what else can be seen of a replica', () => {
  const custody: Custody = {
    kind: 'call',
    stage: 'sent',
    pid: 17,
    script: 'web.js',
    greeted: true,
    handles: true,
    others: 0,
    requests: 0,
    blocked: false,
    turn: 0,
  };
  const rows: [Partial<Custody>, string][] = [
    [{ greeted: false, handles: false }, 'is still starting'],
    [{ stage: 'waiting' }, 'does not read its channel; the message waits in the primary'],
    [
      { stage: 'waiting', blocked: true },
      'does not read its channel; the message waits in the primary; its event loop is blocked',
    ],
    [
      { stage: 'begun', turn: 5_000.4, blocked: true },
      'is running it; its event loop has not turned for 5000 ms',
    ],
    [{ turn: 12 }, 'has it in its mailbox and has not begun it'],
    [{ kind: 'ping', handles: false, requests: 2 }, 'has 0 messages and 2 requests unfinished'],
  ];
  for (const [seen, expected] of rows) {
    const { text, pid } = inReplica({ ...custody, ...seen });
    assert.is(text, `replica 17 (web.js) ${expected}`);
    assert.is(pid, 17);
  }
});

test.run();
