/** A dead replica is out of every rotation from the moment the primary has seen its exit. */

import { type Balancer, balance, call, type DownEvent, type Supervisor, type UpEvent } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { killed, next, rejects, start, Thread, tally, times, until } from '../support/helpers.js';

/** Low enough for the pool to keep what is left, so that nothing but the death changes the rotation. */
const KEEP = 0.01;

test('the primary never hands a dead pid out, not even in a listener of its death', async () => {
  await using supervisor = await start({ replicas: 5 });
  const pool = await balance(supervisor, 'primary', KEEP);
  for (const left of [4, 3, 2]) {
    pool.pid(); // the block that is under way holds every pid
    const [victim] = pool.pids() as [number];
    let seen: number[] = [];
    supervisor.prependOnceListener('down', () => {
      seen = times(3_000, () => pool.pid());
    });
    await killed(supervisor, victim);
    assert.is(seen.length, 3_000);
    assert.not.ok(seen.includes(victim));
    assert.is(new Set(seen).size, left);
  }
});

test('a thread that hands out without a pause never hands out a dead pid', async () => {
  await using supervisor = await start({ replicas: 6, intensity: 100 });
  const pool = await balance(supervisor, 'thread');
  await using thread = new Thread();
  // [a pid that is known to be dead, stop, hand-outs of the thread]
  const flags = new Int32Array(new SharedArrayBuffer(12));
  const handedOut = () => Atomics.load(flags, 2);
  supervisor.prependListener('down', ({ pid }) => Atomics.store(flags, 0, pid));
  const late = thread.ask<number>({ op: 'watch', pool: 'thread', flags });
  for (let kill = 0; kill < 4; kill++) {
    const before = handedOut();
    await until(() => handedOut() > before + 10_000, 'the thread hands out');
    await killed(supervisor, pool.pids()[kill % 3] as number);
    const after = handedOut();
    await until(() => handedOut() > after + 10_000, 'the thread goes on');
    await until(() => supervisor.children().every(({ state }) => state === 'up'), 'all are up again');
  }
  Atomics.store(flags, 1, 1);
  assert.is(await late, 0);
});

test('neither replicas nor threads hand out a pid whose death the primary has seen', async () => {
  await using supervisor = await start({ replicas: 5 });
  const pool = await balance(supervisor, 'everywhere', KEEP);
  await using thread = new Thread();
  for (const _ of [1, 2]) {
    const [victim, ...others] = pool.pids() as [number, ...number[]];
    const callers = [
      (count: number) => thread.ask<number[]>({ op: 'pid', pool: 'everywhere', count }),
      ...others.map(
        (replica) => (count: number) => call<number[]>(replica, { op: 'pid', pool: 'everywhere', count }),
      ),
    ];
    for (const take of callers) await take(1); // each has a block that holds the victim
    await killed(supervisor, victim);
    const taken = await Promise.all(callers.map((take) => take(3_000)));
    for (const pids of taken) assert.equal([...new Set(pids)].sort(), others.sort());
  }
});

test('no neighbour gets a double share: those that are left share exactly', async () => {
  await using supervisor = await start({ replicas: 5 });
  const pool = await balance(supervisor, 'shares', KEEP);
  await using thread = new Thread();
  for (const position of [1, 0, 2]) {
    const victim = pool.pids()[position] as number;
    const others = pool.pids().filter((pid) => pid !== victim);
    pool.pid();
    await killed(supervisor, victim);
    assert.equal(pool.pids(), others, 'those that stay keep their order');
    const [asker] = others as [number];
    const count = 700 * others.length;
    for (const pids of [
      times(count, () => pool.pid()),
      await thread.ask<number[]>({ op: 'pid', pool: 'shares', count }),
      await call<number[]>(asker, { op: 'pid', pool: 'shares', count }),
    ]) {
      const counts = tally(pids);
      assert.equal([...counts.keys()].sort(), others.sort());
      assert.equal([...new Set(counts.values())], [700]);
    }
  }
});

test('every way to die takes a replica out: exit, error, signal', async () => {
  await using supervisor = await start({ replicas: 5 });
  const pool = await balance(supervisor, 'ways', KEEP);
  const ends: [name: string, end: (pid: number) => unknown, expected: Partial<DownEvent>][] = [
    ['exit', (pid) => call(pid, { op: 'exit', code: 0 }).catch(() => {}), { code: 0, signal: null }],
    ['exit code', (pid) => call(pid, { op: 'exit', code: 7 }).catch(() => {}), { code: 7, signal: null }],
    ['SIGKILL', (pid) => process.kill(pid, 'SIGKILL'), { code: null, signal: 'SIGKILL' }],
    ['SIGSEGV', (pid) => process.kill(pid, 'SIGSEGV'), { code: null, signal: 'SIGSEGV' }],
  ];
  for (const [name, end, expected] of ends) {
    const [victim] = pool.pids() as [number];
    const down = next<[DownEvent]>(supervisor, 'down');
    void end(victim);
    const [event] = await down;
    assert.is(event.pid, victim, name);
    assert.is(event.code, expected.code, name);
    assert.is(event.signal, expected.signal, name);
    assert.is(event.restart, true, name);
    assert.not.ok(pool.pids().includes(victim), name);
    assert.not.ok(times(50, () => pool.pid()).includes(victim), name);
    await rejects(call(victim, 'anybody?'), 'ERR_NO_SUCH_REPLICA');
  }
});

test('a child keeps its id through its restarts, and each process of it has the next incarnation', async () => {
  await using supervisor = await start({ replicas: 2 });
  const pool = await balance(supervisor, 'incarnation', 1);
  const [first, other] = supervisor.children() as [Child, Child];
  assert.equal([first.incarnation, other.incarnation], [1, 1]);
  assert.is.not(first.id, other.id);
  for (const incarnation of [1, 2, 3]) {
    const before = childWith(supervisor, first.id);
    const up = next<[UpEvent]>(supervisor, 'up');
    const down = await killed(supervisor, before.pid as number);
    assert.equal([down.id, down.pid, down.incarnation], [first.id, before.pid, incarnation]);
    const [event] = await up;
    const after = childWith(supervisor, first.id);
    assert.equal(after, { id: first.id, pid: event.pid, incarnation: incarnation + 1, state: 'up' });
    assert.equal([event.id, event.incarnation], [first.id, incarnation + 1]);
    assert.is.not(after.pid, before.pid);
    await until(() => pool.pids().includes(event.pid), 'the restarted one is in rotation');
    assert.equal(incarnationsOf(pool).get(event.pid), incarnation + 1);
  }
  assert.equal(childWith(supervisor, other.id), other, 'the other child is as it was');
});

type Child = ReturnType<Supervisor['children']>[number];

function childWith(supervisor: Supervisor, id: number): Child {
  return supervisor.children().find((child) => child.id === id) as Child;
}

function incarnationsOf(pool: Balancer): Map<number, number> {
  return new Map(pool.stats().replicas.map(({ pid, incarnation }) => [pid, incarnation]));
}

test.run();
