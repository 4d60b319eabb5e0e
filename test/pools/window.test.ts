/** Maintenance windows: their order, their ends, and what everybody else sees meanwhile. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { applyWithin, type Balancer, balance, call, cast, pid, ping, transaction } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attempt,
  deferred,
  duringWindow,
  gated,
  hold,
  journal,
  note,
  noted,
  pidAt,
  Thread,
  upPids,
  watch,
} from '../support/gate.js';
import { downOf, killed, rejects, throws, until } from '../support/helpers.js';

const reason = new Error('the caller has changed its mind');

/** A window that stays open until `end` resolves; resolves itself once its function runs. */
async function opened(pool: Balancer): Promise<{ end: () => void; window: Promise<string> }> {
  const running = deferred();
  const ending = deferred();
  const window = pool.applyWithin(async () => {
    running.resolve();
    await ending.promise;
    return 'first';
  });
  await running.promise;
  return { end: ending.resolve, window };
}

/** Answers, from two processes and a thread, what `pid` throws. */
async function refusals(replica: number, thread: Thread): Promise<unknown[]> {
  let here: unknown;
  try {
    here = pid('pool');
  } catch (error) {
    here = (error as { code?: unknown }).code;
  }
  const there = await attempt(replica, 'pid', 'pool');
  const aside = await thread.attempt('pid', 'pool');
  return [here, there.error?.code ?? there.value, aside.error?.code ?? aside.value];
}

test('windows of one pool run one after another, in call order', async () => {
  await using supervisor = await gated();
  await using _pool = await balance(supervisor, 'pool');
  const seen: string[] = [];
  const names = ['a', 'b', 'c', 'd', 'e'];
  const waits = [5, 0, (): Promise<void> => turn(), ping, 0];
  const windows = names.map((name, i) =>
    applyWithin(
      'pool',
      async () => {
        seen.push(`${name} begins`);
        for (let turns = names.length - i; turns > 0; turns--) await turn();
        seen.push(`${name} ends`);
        return name;
      },
      waits[i],
    ),
  );
  assert.equal(await Promise.all(windows), names);
  assert.equal(
    seen,
    names.flatMap((name) => [`${name} begins`, `${name} ends`]),
  );
});

test('a window settles with what its function gave or threw, and the pool goes on', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const thrown = new RangeError('thrown in the window');
  const outcomes = await Promise.allSettled([
    pool.applyWithin(() => 42),
    pool.applyWithin(async () => undefined),
    pool.applyWithin(() => {
      throw thrown;
    }),
    pool.applyWithin(() => Promise.reject(undefined)),
    pool.applyWithin(() => 'the last'),
  ]);
  assert.equal(outcomes, [
    { status: 'fulfilled', value: 42 },
    { status: 'fulfilled', value: undefined },
    { status: 'rejected', reason: thrown },
    { status: 'rejected', reason: undefined },
    { status: 'fulfilled', value: 'the last' },
  ]);
  assert.ok(pool.pids().includes(pool.pid()));
  assert.is(pool.stats().paused, false);
});

test('a wait that fails ends the window before its function', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const victim = pidAt(pool.pids(), 1);
  let ran = 0;
  const run = (): number => ++ran;
  const failing = (pid: number): void => {
    if (pid === victim) throw reason;
  };
  for (const wait of [failing, async (pid: number) => failing(pid)]) {
    const outcome = await pool.applyWithin(run, wait).catch((error: unknown) => error);
    assert.is(outcome, reason);
    assert.ok(pool.pid());
  }
  assert.is(ran, 0);
});

test('a wait of some ms is over before the function runs, and nothing is handed out in it', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const before = performance.now();
  const window = pool.applyWithin(() => performance.now() - before, 60);
  await once(pool, 'pause');
  throws(() => pool.pid(), 'ERR_PAUSED');
  assert.ok((await window) >= 59, "Node's timers may be 1 ms early");
});

test('a wait function is called once with each present pid, with all at once', async () => {
  await using supervisor = await gated({ replicas: 3 });
  await using pool = await balance(supervisor, 'pool', { connect: false });
  const called: number[] = [];
  const all = deferred();
  const wait = async (pid: number): Promise<void> => {
    throws(() => pool.pid(), 'ERR_PAUSED');
    called.push(pid);
    if (called.length === 3) all.resolve();
    await all.promise; // one by one, the first would wait for ever
  };
  assert.is(await applyWithin('pool', () => called.length, wait), 3);
  assert.equal(called.sort(), upPids(supervisor).sort());
});

test('a replica that dies while its ping is outstanding counts as waited for', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const victim = pidAt(pool.pids(), 0);
  const held = call(victim, hold('work'), { timeout: 60_000 });
  await noted(victim, 'start work');
  const waiting = deferred();
  const window = pool.applyWithin(
    () => 'ran',
    (pid) => {
      waiting.resolve();
      return ping(pid);
    },
  );
  const state = watch(window);
  await waiting.promise;
  await journal(victim); // its answer would have come after the ping's
  assert.not(state.settled);
  const [failure] = await Promise.all([rejects(held, 'ERR_REPLICA_DIED'), killed(supervisor, victim)]);
  assert.is(failure.pid, victim);
  assert.is(await window, 'ran');
});

test('a replica that dies under a wait that never ends counts as waited for', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const victim = pidAt(pool.pids(), 1);
  const window = pool.applyWithin(
    () => 'ran',
    (pid) => (pid === victim ? new Promise(() => {}) : undefined),
    { timeout: 8_000 },
  );
  await once(pool, 'pause');
  await killed(supervisor, victim);
  assert.is(await window, 'ran');
});

test('a signal that is aborted already opens no window', async () => {
  await using supervisor = await gated({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  let touched = 0;
  pool.on('pause', () => touched++);
  const touch = (): number => ++touched;
  const outcome = await pool
    .applyWithin(touch, touch, { signal: AbortSignal.abort(reason) })
    .catch((error: unknown) => error);
  assert.is(outcome, reason);
  assert.is(touched, 0);
});

test('an aborted window leaves the queue, and those behind it keep their order', async () => {
  await using supervisor = await gated({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const { end, window } = await opened(pool);
  const seen: string[] = [];
  const controller = new AbortController();
  const { signal } = controller;
  const second = pool.applyWithin(() => seen.push('second'), 0, { signal });
  const third = pool.applyWithin(() => seen.push('third'));
  const fourth = pool.applyWithin(() => seen.push('fourth'));
  controller.abort(reason);
  assert.is(await second.catch((error: unknown) => error), reason);
  throws(() => pool.pid(), 'ERR_PAUSED'); // the first is still open
  assert.equal(seen, []);
  end();
  await Promise.all([window, third, fourth]);
  assert.equal(seen, ['third', 'fourth']);
});

test('one that is given up as the last of the queue leaves the next to wait for the window that is open', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const { end, window } = await opened(pool);
  const controller = new AbortController();
  const givenUp = pool.applyWithin(() => 'never', 0, { signal: controller.signal });
  controller.abort(reason);
  await givenUp.then(assert.unreachable, (error) => assert.is(error, reason));
  let isOver = false;
  const behind = pool.applyWithin(() => isOver);
  await turn();
  throws(() => pool.pid(), 'ERR_PAUSED');
  isOver = true;
  end();
  assert.is(await window, 'first');
  assert.is(await behind, true, 'it ran after the first');
});

test('an abort during the wait, or a time limit, ends the window without its function', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  let ran = 0;
  const run = (): number => ++ran;
  const never = (): Promise<never> => new Promise(() => {});
  for (const wait of [never, 1_000_000]) {
    const controller = new AbortController();
    const window = pool.applyWithin(run, wait, { signal: controller.signal });
    await once(pool, 'pause');
    controller.abort(reason);
    assert.is(await window.catch((error: unknown) => error), reason);
    assert.ok(pool.pid());
    await rejects(pool.applyWithin(run, wait, { timeout: 20 }), 'ERR_TIMEOUT');
    assert.ok(pool.pid());
  }
  assert.is(ran, 0);
});

test('an abort during the function, or a time limit, ends the window and tells the function', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const controller = new AbortController();
  const seen: unknown[] = [];
  const run = ({ signal }: { signal: AbortSignal }): Promise<never> => {
    signal.addEventListener('abort', () => seen.push(signal.reason));
    if (seen.length === 0) setImmediate(() => controller.abort(reason));
    return new Promise(() => {});
  };
  const outcome = await pool
    .applyWithin(run, 0, { signal: controller.signal })
    .catch((error: unknown) => error);
  assert.is(outcome, reason);
  assert.ok(pool.pid());
  const failure = await rejects(pool.applyWithin(run, 0, { timeout: 20 }), 'ERR_TIMEOUT');
  assert.ok(pool.pid());
  assert.equal(seen, [reason, failure]);
});

test('a time limit counts from the call, so it also ends the wait for the turn', async () => {
  await using supervisor = await gated({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const { end, window } = await opened(pool);
  let ran = false;
  const late = pool.applyWithin(
    () => {
      ran = true;
    },
    0,
    { timeout: 20 },
  );
  await rejects(late, 'ERR_TIMEOUT');
  assert.is(pool.stats().paused, true);
  end();
  assert.is(await window, 'first');
  assert.is(await pool.applyWithin(() => 'next'), 'next');
  assert.not(ran);
});

test('a window inside a window of the same pool is refused, one of another pool is not', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  await using other = await balance(supervisor, 'other');
  const nested = (): Promise<unknown> =>
    rejects(
      applyWithin('pool', () => {}),
      'ERR_PAUSED',
    );
  const outcome = await pool.applyWithin(
    async () => {
      await nested();
      await turn();
      await rejects(
        pool.applyWithin(() => {}),
        'ERR_PAUSED',
      );
      return other.applyWithin(async () => {
        await nested();
        await rejects(
          other.applyWithin(() => {}),
          'ERR_PAUSED',
        );
        return 'of the other';
      });
    },
    async () => {
      await nested();
    },
  );
  assert.is(outcome, 'of the other');
  assert.ok(pool.pid() && other.pid());
});

test('what waits for the end of a window is refused at once inside it; another pool and bare pids are not', async () => {
  await using supervisor = await gated({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  await using other = await balance(supervisor, 'other');
  const replica = pool.pid();
  const never = (): never => assert.unreachable() as never;
  const refused = async (): Promise<void> => {
    const expected = { code: 'ERR_PAUSED', message: /on pool 'pool' from inside its own window/ };
    await rejects(pool.call(note('never')), expected);
    await rejects(call('pool', note('never')), expected);
    await rejects(pool.transaction(never), expected);
    await rejects(transaction('pool', never), expected);
    await rejects(pool.map(never), expected);
  };
  let left: Promise<unknown> | undefined;
  let ended = (): void => {};
  await pool.applyWithin(
    async () => {
      await refused();
      await turn();
      await refused();
      assert.is(await call(replica, note('by pid')), replica);
      assert.is(await other.transaction((pid) => pid), replica);
      pool.cast(note('kept')); // nobody waits for it
      await other.applyWithin(refused);
      const later = deferred();
      ended = later.resolve;
      left = later.promise.then(() => pool.call(note('after it')));
    },
    async () => {
      await refused();
    },
  );
  ended();
  assert.is(await left, replica);
  assert.equal(await journal(replica), ['by pid', 'kept', 'after it']);
});

test('what a window has left over may open a window once it has ended', async () => {
  await using supervisor = await gated({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const ended = deferred();
  let leftOver: Promise<unknown> = Promise.resolve();
  await pool.applyWithin(() => {
    leftOver = ended.promise.then(() => pool.applyWithin(() => 'later'));
  });
  ended.resolve();
  assert.is(await leftOver, 'later');

  // The same while another window is open: it waits for its turn.
  const again = deferred();
  await pool.applyWithin(() => {
    leftOver = again.promise.then(() => pool.applyWithin(() => 'in turn'));
  });
  const { end, window } = await opened(pool);
  again.resolve();
  await turn();
  end();
  assert.is(await window, 'first');
  assert.is(await leftOver, 'in turn');
});

test('pid throws ERR_PAUSED in the primary, in a replica and in a thread, and works again after it', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  await using thread = await Thread.start();
  const pids = pool.pids();
  const replica = pidAt(pids, 0);
  const isHandedOut = (value: unknown): boolean => pids.includes(value as number);
  assert.ok((await refusals(replica, thread)).every(isHandedOut)); // each has a block of tickets now
  const within = await pool.applyWithin(() => refusals(replica, thread));
  assert.equal(within, ['ERR_PAUSED', 'ERR_PAUSED', 'ERR_PAUSED']);
  assert.ok((await refusals(replica, thread)).every(isHandedOut));
});

test('calls and transactions of a paused pool wait for its end, whoever makes them', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  await using thread = await Thread.start();
  const replica = pidAt(pool.pids(), 0);
  const waiting: Promise<unknown>[] = [];
  let early: boolean[] = [];
  await duringWindow(pool, async () => {
    const key = 'waiting call';
    await call(replica, { op: 'begin', key, what: 'call', args: ['pool', note('relayed')] });
    waiting.push(
      pool.call(note('held')),
      transaction('pool', (pid) => pid),
      pool.map((pid) => pid),
      thread.attempt('transaction', 'pool', 'the pid').then(({ value }) => value),
      call(replica, { op: 'outcome', key }),
    );
    const states = waiting.map(watch);
    await until(() => pool.stats().held === 2, 'two held calls');
    for (const pid of pool.pids()) assert.equal(await journal(pid), []);
    early = states.map(({ settled }) => settled);
  });
  assert.equal(early, [false, false, false, false, false]);
  const [held, own, all, aside, relayed] = await Promise.all(waiting);
  const pids = pool.pids();
  assert.ok(pids.includes(held as number));
  assert.ok(pids.includes(own as number));
  assert.equal(all, pids);
  assert.ok(pids.includes(aside as number));
  assert.ok(pids.includes((relayed as { value: number }).value));
  assert.is(pool.stats().held, 0);
});

test('calls and transactions give up their wait for a window after their own timeout', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  await using thread = await Thread.start();
  const replica = pidAt(pool.pids(), 0);
  const brief = { timeout: 30 };
  const codes = await duringWindow(pool, async () => {
    await Promise.all([
      rejects(pool.call(note('never'), brief), 'ERR_TIMEOUT'),
      rejects(
        pool.transaction(() => assert.unreachable(), brief),
        'ERR_TIMEOUT',
      ),
    ]);
    const others = await Promise.all([
      attempt(replica, 'call', 'pool', note('never'), brief),
      attempt(replica, 'transaction', 'pool', 'the pid', brief),
      thread.attempt('transaction', 'pool', 'the pid', brief),
    ]);
    assert.is(pool.stats().paused, true);
    return others.map(({ error }) => error?.code);
  });
  assert.equal(codes, ['ERR_TIMEOUT', 'ERR_TIMEOUT', 'ERR_TIMEOUT']);
  await until(() => pool.stats().held === 0, 'the relayed call to be forgotten');
  for (const pid of pool.pids()) assert.equal(await journal(pid), []);
});

test('casts to a paused pool are kept, in order, and sent at its end', async () => {
  await using supervisor = await gated({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  const values = ['a', 'b', 'c', 'd'];
  await pool.applyWithin(async () => {
    for (const value of values) cast('pool', note(value));
    await attempt(replica, 'cast', 'pool', note('relayed'));
    await until(() => pool.stats().held === 5, 'all casts to be held');
    assert.equal(await journal(replica), []);
  });
  await noted(replica, 'relayed');
  assert.equal(await journal(replica), [...values, 'relayed']);
});

test('what a paused pool keeps is bounded', async () => {
  await using supervisor = await gated({ replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  const large = 'x'.repeat(40 * 1024 * 1024);
  await duringWindow(pool, async () => {
    const controller = new AbortController();
    const held = pool.call(note(large), { signal: controller.signal });
    await until(() => pool.stats().held === 1, 'the call to be held');
    throws(() => pool.cast(note(large)), 'ERR_OVERLOAD');
    await rejects(pool.call(note(large)), 'ERR_OVERLOAD');
    pool.cast(note('small'));
    controller.abort(reason); // makes room
    assert.is(await held.catch((error: unknown) => error), reason);
    pool.cast(note(large));
  });
  await noted(replica, 'small');
  await until(async () => (await journal(replica)).length === 2, 'the large cast', 30_000);
  assert.is(pool.stats().lostCasts, 0);
});

test('the function of a window talks to replicas by pid', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const replies = await pool.applyWithin(
    async () => {
      const [first, second] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
      await ping(first);
      cast(second, note('cast'));
      const direct = await call(first, note('called'));
      const relayed = await attempt(first, 'call', second, note('relayed'));
      return { direct, relayed: relayed.value, seen: await journal(second) };
    },
    (pid) => call(pid, note('wait')),
  );
  const [first, second] = pool.pids();
  assert.equal(replies, { direct: first, relayed: second, seen: ['wait', 'cast', 'relayed'] });
});

test('a death and a refresh during a window do not reopen it', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool', 1);
  await using thread = await Thread.start();
  const victim = pidAt(pool.pids(), 0);
  const survivor = pidAt(pool.pids(), 1);
  const paused = ['ERR_PAUSED', 'ERR_PAUSED', 'ERR_PAUSED'];
  await pool.applyWithin(async () => {
    const refreshed = once(pool, 'refresh');
    await killed(supervisor, victim);
    assert.equal(await refusals(survivor, thread), paused);
    await refreshed;
    assert.is(pool.pids().length, 2);
    assert.equal(await refusals(survivor, thread), paused);
    await pool.refresh();
    await supervisor.resize(3);
    await until(() => pool.pids().length === 3, 'the pool to have grown');
    assert.equal(await refusals(survivor, thread), paused);
    await supervisor.resize(2);
    assert.is(pool.stats().paused, true);
    assert.equal(await refusals(survivor, thread), paused);
  });
  const codes = await refusals(survivor, thread);
  assert.ok(codes.every((value) => pool.pids().includes(value as number)));
});

test('a window runs with no replica left', async () => {
  await using supervisor = await gated({ replicas: 1, restart: 'temporary' });
  await using pool = await balance(supervisor, 'pool');
  const inside = await pool.applyWithin(async () => {
    await killed(supervisor, upPids(supervisor)[0] as number);
    return throws(() => pool.pid(), 'ERR_PAUSED').code;
  });
  assert.is(inside, 'ERR_PAUSED');
  throws(() => pool.pid(), 'ERR_DISCONNECTED');
  const called: number[] = [];
  assert.is(await pool.applyWithin(() => 'ran', called.push), 'ran');
  assert.equal(called, []);
  throws(() => pool.pid(), 'ERR_DISCONNECTED');
});

test('closing the pool lets the open window end and refuses those behind it', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const { end, window } = await opened(pool);
  const queued = [
    pool.applyWithin(() => assert.unreachable()),
    pool.applyWithin(() => assert.unreachable(), ping, { timeout: 60_000 }),
  ];
  const waiting = [pool.call(note('held')), pool.transaction(() => assert.unreachable())];
  const refused = [...queued, ...waiting].map((promise) => rejects(promise, 'ERR_CLOSED'));
  await until(() => pool.stats().held === 1, 'the call to be held');
  const closed = pool.close();
  const state = watch(closed);
  await Promise.all(refused.slice(0, 3));
  await rejects(
    pool.applyWithin(() => {}),
    'ERR_CLOSED',
  );
  assert.not(state.settled);
  end();
  assert.is(await window, 'first');
  await closed;
  await Promise.all(refused);
  throws(() => pool.pid(), 'ERR_CLOSED');
  throws(() => pid('pool'), 'ERR_NO_SUCH_POOL');
  assert.is(upPids(supervisor).length, 2);
});

test('closing the supervisor lets the open window end, and nobody waits for ever', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const { end, window } = await opened(pool);
  const queued = pool.applyWithin(() => 'queued', ping);
  const held = rejects(pool.call(note('held')), 'ERR_DISCONNECTED');
  const waiting = rejects(
    pool.transaction(() => assert.unreachable()),
    'ERR_DISCONNECTED',
  );
  await until(() => pool.stats().held === 1, 'the call to be held');
  await supervisor.close();
  assert.is(((await held).cause as { code?: string }).code, 'ERR_CLOSED');
  end();
  assert.is(await window, 'first');
  await waiting;
  // Without replicas there is nothing to hold back: running and refusing are both right.
  const [outcome] = await Promise.allSettled([queued]);
  if (outcome?.status === 'rejected') assert.is(outcome.reason.code, 'ERR_CLOSED');
  assert.is(pool.stats().paused, false);
  throws(() => pool.pid(), 'ERR_DISCONNECTED');
});

test('a replica that is stopped during a window is waited for while it may be running something', async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const leaver = pidAt(upPids(supervisor), 1);
  const held = call(leaver, hold('work'));
  await noted(leaver, 'start work');
  const shrunk = supervisor.resize(1);
  await until(() => pool.pids().length === 1, 'the replica to leave the rotation');
  const asked: number[] = [];
  const window = pool.applyWithin(
    () => 'ran',
    (pid) => {
      asked.push(pid);
      return ping(pid);
    },
  );
  const state = watch(window);
  await once(pool, 'pause');
  await journal(pidAt(pool.pids(), 0));
  assert.ok(asked.includes(leaver));
  assert.not(state.settled);
  // It takes no call any more: only a death or the end of its work can end the wait.
  const down = downOf(supervisor, leaver);
  process.kill(leaver, 'SIGKILL');
  await Promise.all([rejects(held, 'ERR_REPLICA_DIED'), down, shrunk]);
  assert.is(await window, 'ran');
});

test("the caller's AsyncLocalStorage is there in all that runs on its behalf", async () => {
  await using supervisor = await gated();
  await using pool = await balance(supervisor, 'pool');
  const storage = new AsyncLocalStorage<string>();
  const seen: Record<string, unknown> = {};
  const look = (where: string) => (): void => {
    seen[where] = storage.getStore();
  };
  const caller = async (name: string): Promise<void> => {
    await pool.call(note(name));
    look(`${name}: after a call`)();
    await pool.transaction(look(`${name}: transaction`));
    await pool.applyWithin(look(`${name}: fn`), look(`${name}: wait`));
    look(`${name}: after a window`)();
  };
  await Promise.all([storage.run('one', caller, 'one'), storage.run('two', caller, 'two')]);

  const { end, window } = await opened(pool);
  const waiting = storage.run('three', async () => {
    const transacted = pool.transaction(look('three: transaction'));
    const queued = pool.applyWithin(look('three: fn'), look('three: wait'));
    await pool.call(note('held'));
    look('three: after a call')();
    await Promise.all([transacted, queued]);
    look('three: after a window')();
  });
  await until(() => pool.stats().held === 1, 'the call to be held');
  end();
  await Promise.all([window, waiting]);

  const places = ['after a call', 'transaction', 'fn', 'wait', 'after a window'];
  const expected = ['one', 'two', 'three'].flatMap((name) =>
    places.map((place) => [`${name}: ${place}`, name]),
  );
  assert.equal(seen, Object.fromEntries(expected));
});

test.run();
