/** A rolling reload: the new replica first, then the old one goes. */

import cluster from 'node:cluster';
import { type BallermannError, balance, call, type DownEvent, type ReloadOptions } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Segment } from '#src/memory/segment.js';
import { giveSlotBack, takeSlots } from '#src/primary/replicas/slots.js';
import { duringWindow, pidAt } from '../support/gate.js';
import { killed, next, rejects, until } from '../support/helpers.js';
import { Folder, Forked, isAlive, later } from '../support/processes.js';
import { type Answer, buildsOf, exec, live, load, pidsOf, sizes } from '../support/reloading.js';

test('every replica is replaced, its child stays; no call fails and no pool is smaller for a moment', async () => {
  await using supervisor = await live();
  await using pool = await balance(supervisor, 'whole');
  const before = supervisor.children();
  const order = pool.pids();
  const seen = sizes(supervisor, pool);
  const downs: DownEvent[] = [];
  supervisor.on('down', (down) => downs.push(down));
  const running = load(pool);
  const reloaded = next(supervisor, 'reloaded');
  await supervisor.reload();
  await reloaded;
  assert.ok((await running.end()) > 0);
  const after = supervisor.children();
  assert.equal(
    after.map(({ id, incarnation, state }) => ({ id, incarnation, state })),
    before.map(({ id }) => ({ id, incarnation: 2, state: 'up' })),
  );
  for (const { pid } of before) assert.not(isAlive(pid as number));
  assert.equal([...seen], [3, 'refresh']); // at the end
  assert.is(pool.stats().redirected, 0);
  assert.is(pool.stats().original, 3);
  // Each new one has the old one's place in the rotation.
  const places = order.map((pid) => before.find((child) => child.pid === pid)?.id);
  assert.equal(
    pool.pids().map((pid) => after.find((child) => child.pid === pid)?.id),
    places,
  );
  assert.equal(
    downs.map(({ code, signal, restart }) => ({ code, signal, restart })),
    before.map(() => ({ code: 0, signal: null, restart: false })),
  );
});

test('what an old replica runs is finished, and the next one is not touched before that', async () => {
  await using supervisor = await live({ replicas: 2 });
  const [first, second] = pidsOf(supervisor) as [number, number];
  const running = later(call<Answer>(first, { sleep: 400 }));
  const reload = later(supervisor.reload());
  await until(() => supervisor.children().length === 3, 'the new one beside the old ones');
  assert.is(supervisor.children()[1]?.state, 'starting');
  await until(() => supervisor.children()[0]?.state === 'stopping', 'the old one to leave');
  assert.equal(
    supervisor.children().map(({ id, incarnation, state }) => [id, incarnation, state]),
    [
      [0, 1, 'stopping'],
      [0, 2, 'up'],
      [1, 1, 'up'],
    ],
  );
  assert.is(supervisor.children()[2]?.pid, second);
  assert.is((await running).pid, first);
  await reload;
  assert.not(pidsOf(supervisor).includes(second));
});

test('the new exec, env and args hold for the new replicas, and for later restarts and resizes', async () => {
  using folder = new Folder();
  const other = folder.script(
    'other.mjs',
    `process.env.BUILD += ' of another file'; await import(${JSON.stringify(exec.href)});`,
  );
  await using supervisor = await live({ replicas: 2, args: ['old argument'] });
  await supervisor.reload({ exec: other, env: { BUILD: 'new' }, args: ['a', 'b'] });
  const expected = { build: 'new of another file', args: ['a', 'b'] };
  await killed(supervisor, pidAt(pidsOf(supervisor), 0));
  await next(supervisor, 'up');
  await supervisor.resize(3);
  await supervisor.reload(); // and what is left out stays as it is
  for (const pid of pidsOf(supervisor)) {
    const { build, args } = await call<Answer>(pid, {});
    assert.equal({ build, args }, expected);
  }
});

test('maxUnavailable: so many at a time, and not more', async () => {
  await using supervisor = await live({ replicas: 5 });
  using forked = new Forked();
  const before = pidsOf(supervisor);
  let most = 0;
  supervisor.on('up', () => {
    most = Math.max(most, supervisor.children().length - 5);
  });
  const starting: number[] = [];
  const note = (): void => {
    starting.push(supervisor.children().filter(({ state }) => state === 'starting').length);
  };
  cluster.on('fork', note);
  try {
    await supervisor.reload({ maxUnavailable: 2 });
  } finally {
    cluster.off('fork', note);
  }
  assert.is(forked.pids.length, 5);
  assert.is(Math.max(...starting), 2, `${starting}`);
  assert.ok(most <= 2);
  assert.equal(before.filter(isAlive), []);
  await supervisor.reload({ maxUnavailable: 1_000 });
  assert.is(forked.pids.length, 10);
});

test('an old replica that dies while its successor starts is restarted as it was, and replaced all the same', async () => {
  using folder = new Folder();
  await using supervisor = await live({ replicas: 1 });
  await using pool = await balance(supervisor, 'dying');
  const gate = folder.script(
    'gate.mjs',
    `import { existsSync } from 'node:fs';
     while (!existsSync(${JSON.stringify(folder.at('open'))})) await new Promise((done) => setTimeout(done, 5));
     await import(${JSON.stringify(exec.href)});`,
  );
  const reload = later(supervisor.reload({ exec: gate, env: { BUILD: 'new' } }));
  await until(() => supervisor.children().length === 2, 'the new one');
  await killed(supervisor, pidAt(pidsOf(supervisor), 0));
  await next(supervisor, 'up');
  assert.is((await pool.call<Answer>({})).build, 'old');
  const incarnations = supervisor.children().map(({ incarnation }) => incarnation);
  assert.equal(incarnations, [2, 3], 'no two processes have the same');
  folder.open('open');
  await reload;
  assert.equal(await buildsOf(supervisor), ['new']);
  await until(
    () => pool.pids().length === 1 && pool.pids()[0] === pidsOf(supervisor)[0],
    'the pool to follow',
  );
});

test('a temporary replica that is gone when its turn comes is not brought back', async () => {
  await using supervisor = await live({ replicas: 2, restart: 'temporary' });
  const [first, second] = pidsOf(supervisor) as [number, number];
  const running = later(call<Answer>(first, { sleep: 500 }));
  const reload = later(supervisor.reload());
  await killed(supervisor, second);
  await reload;
  assert.is((await running).pid, first);
  assert.equal(
    supervisor.children().map(({ id, incarnation }) => [id, incarnation]),
    [[0, 2]],
  );
});

test('a replica that a pool has left out because of its ratio stays out during a reload, and nobody is out after it', async () => {
  await using supervisor = await live({ intensity: 100 });
  const all = await balance(supervisor, 'all', 1);
  const half = await balance(supervisor, 'half', 0.5);
  const [first] = half.pids() as [number];
  await killed(supervisor, first);
  await until(() => all.pids().length === 3 && !all.pids().includes(first), 'the refresh of one pool');
  const never = await balance(supervisor, 'never connected', { connect: false });
  assert.is(half.pids().length, 2);
  assert.equal(
    half.stats().outside,
    pidsOf(supervisor).filter((pid) => !half.pids().includes(pid)),
  );
  assert.equal(all.stats().outside, []);
  const seen = sizes(supervisor, half);
  await supervisor.reload();
  assert.equal(
    [...seen].filter((size) => size !== 'refresh' && size !== 3),
    [2],
  );
  for (const pool of [all, half]) {
    assert.equal(pool.pids().sort(), pidsOf(supervisor).sort());
    assert.is(pool.stats().original, 3);
    assert.equal(pool.stats().outside, []);
  }
  assert.equal(never.pids(), [], 'it has not asked for anybody yet');
  assert.equal(never.stats().outside, pidsOf(supervisor));
});

test('a paused pool stays paused through a reload, and goes on with the new replicas', async () => {
  await using supervisor = await live();
  await using pool = await balance(supervisor, 'paused');
  let held: Promise<Answer> | undefined;
  await duringWindow(pool, async () => {
    await supervisor.reload({ env: { BUILD: 'new' } });
    assert.is(pool.stats().paused, true);
    held = later(pool.call<Answer>({}));
  });
  assert.is((await (held as Promise<Answer>)).build, 'new');
});

test('reloads and resizes run one after another, in call order', async () => {
  await using supervisor = await live({ replicas: 1 });
  const story: string[] = [];
  const tell = (what: string) => () => {
    story.push(what);
  };
  await Promise.all([
    supervisor.reload({ env: { BUILD: 'second' } }).then(tell('reload of 1')),
    supervisor.resize(3).then(tell('resize to 3')),
    supervisor.reload({ args: ['third'] }).then(tell('reload of 3')),
    supervisor.resize(2).then(tell('resize to 2')),
  ]);
  assert.equal(story, ['reload of 1', 'resize to 3', 'reload of 3', 'resize to 2']);
  assert.equal(
    supervisor.children().map(({ id, incarnation }) => [id, incarnation]),
    [
      [0, 3],
      [1, 2],
    ],
  );
  for (const pid of pidsOf(supervisor)) {
    const { build, args } = await call<Answer>(pid, {});
    assert.equal({ build, args }, { build: 'second', args: ['third'] });
  }
});

test('close() during a reload ends it: ERR_CLOSED, and no process is left', async () => {
  using forked = new Forked();
  const supervisor = await live({ env: { BUILD: 'old' } });
  const told = next<[BallermannError]>(supervisor, 'reloadFailed');
  const reload = later(supervisor.reload({ env: { BREAKS: 'hangs', FROM: '-1' }, maxUnavailable: 2 }));
  await until(() => forked.pids.length === 5, 'two new ones');
  const queued = later(supervisor.reload());
  await supervisor.close();
  await rejects(reload, 'ERR_CLOSED');
  assert.is((await told)[0].code, 'ERR_CLOSED');
  await rejects(queued, 'ERR_CLOSED');
  await rejects(supervisor.reload(), 'ERR_CLOSED');
  assert.equal(forked.pids.filter(isAlive), []);
  assert.equal(supervisor.children(), []);
});

test('without a free slot: ERR_SEGMENT_FULL, and nothing has changed', async () => {
  await using supervisor = await live();
  const before = supervisor.children();
  const { maxReplicas } = Segment.require().addon.layout;
  const taken = takeSlots(maxReplicas - before.length);
  try {
    await rejects(supervisor.reload(), 'ERR_SEGMENT_FULL');
    assert.equal(supervisor.children(), before);
    const up = next(supervisor, 'up');
    await killed(supervisor, pidAt(pidsOf(supervisor), 0));
    await up; // a restart has the slot that it had
  } finally {
    for (const slot of taken) giveSlotBack(slot);
  }
  await supervisor.reload();
});

test('bad options are refused at once, and nothing happens', async () => {
  using folder = new Folder();
  await using supervisor = await live({ replicas: 1 });
  const before = supervisor.children();
  const rows: [options: unknown, code: string, message: RegExp][] = [
    [null, 'ERR_INVALID_ARG_TYPE', /^options must be an object; got null/],
    [
      { replicas: 2 },
      'ERR_INVALID_ARG_TYPE',
      /^options\.replicas is no option; .*exec, env, args, maxUnavailable/,
    ],
    [{ exec: 5 }, 'ERR_INVALID_ARG_TYPE', /^options\.exec .*got 5/],
    [{ exec: folder.at('none.js') }, 'ERR_OUT_OF_RANGE', /^options\.exec .*existing file.*none\.js/],
    [{ exec: folder.path }, 'ERR_OUT_OF_RANGE', /^options\.exec .*existing file/],
    [{ env: 'A=b' }, 'ERR_INVALID_ARG_TYPE', /^options\.env .*got 'A=b'/],
    [{ env: { A: 1 } }, 'ERR_INVALID_ARG_TYPE', /^options\.env\.A .*a string; got 1/],
    [{ args: 'a' }, 'ERR_INVALID_ARG_TYPE', /^options\.args .*got 'a'/],
    [{ maxUnavailable: 0 }, 'ERR_OUT_OF_RANGE', /^options\.maxUnavailable .*at least 1; got 0/],
    [{ maxUnavailable: 1.5 }, 'ERR_OUT_OF_RANGE', /^options\.maxUnavailable .*integer.*got 1.5/],
    [{ maxUnavailable: '1' }, 'ERR_INVALID_ARG_TYPE', /^options\.maxUnavailable .*got '1'/],
  ];
  for (const [options, code, message] of rows)
    await rejects(supervisor.reload(options as ReloadOptions), { code, message });
  assert.equal(supervisor.children(), before);
});

test.run();
