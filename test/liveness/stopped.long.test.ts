/** Replicas, and primaries, that are stopped or busy for longer than any limit: who is told what, and who is killed. */

import { setTimeout as sleep } from 'node:timers/promises';
import { balance, call, ping } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { block, SHORT, stoppedIdle, storyOf, told } from '../support/blocking.js';
import { stopped } from '../support/failing.js';
import { gated, hold, noted, release, upPids } from '../support/gate.js';
import { downOf, times, until } from '../support/helpers.js';
import { Diary, Folder, Primary, stateOf } from '../support/processes.js';

test('a stopped replica (SIGSTOP) is noticed by what it does not take', async () => {
  using folder = new Folder();
  await using supervisor = await gated({ replicas: 3, blockedAfter: SHORT });
  await using pool = await balance(supervisor, 'pool');
  const story = storyOf(supervisor);
  const [idle, called, blocks] = upPids(supervisor) as [number, number, number];
  await stoppedIdle(idle);
  await stoppedIdle(called);
  try {
    const sawBlocked = told(supervisor, 'blocked', called);
    const answer = call(called, { op: 'note', value: 'late' }, { timeout: 30_000 });
    await sawBlocked;
    assert.not(pool.pids().includes(called));
    const { end, reply } = await block(folder, blocks);
    await told(supervisor, 'blocked', blocks);
    end();
    await reply;
    assert.equal(story.of(idle), [], 'nothing was sent to it, so nothing is missed');
    const unblocked = told(supervisor, 'unblocked', called);
    process.kill(called, 'SIGCONT');
    await unblocked;
    assert.is(await answer, called);
    assert.ok(pool.pids().includes(called));
  } finally {
    for (const pid of [idle, called]) process.kill(pid, 'SIGCONT');
  }
});

test('a stopped replica is killed as a hung one, also where it only has a ping to answer', async () => {
  await using supervisor = await gated({ replicas: 1, blockedAfter: SHORT, hangTimeout: 2 * SHORT });
  await using pool = await balance(supervisor, 'pool');
  const [pid] = upPids(supervisor) as [number];
  await stoppedIdle(pid);
  const down = downOf(supervisor, pid);
  // A replica that dies counts as waited for: so the window opens.
  assert.is(
    await pool.applyWithin(
      () => 'opened',
      (each) => ping(each, { timeout: 30_000 }),
    ),
    'opened',
  );
  assert.is((await down).signal, 'SIGKILL');
});

for (const what of ['the primary alone', 'the primary with its replicas']) {
  test(`${what} stopped for far longer than hangTimeout: nobody is killed or blocked`, async () => {
    using folder = new Folder();
    await using primary = new Primary({
      ownGroup: true,
      supervisor: {
        env: { DIARY: new Diary(folder).file },
        replicas: 2,
        restart: 'temporary',
        blockedAfter: 4 * SHORT,
        hangTimeout: 4 * SHORT,
      },
      message: { op: 'sleep', ms: 60_000 },
    });
    const pids = await primary.ready();
    await new Diary(folder).has('begins sleep', 2);
    await sleep(3 * SHORT); // for the primary to have looked at them
    const target = what.includes('replicas') ? -primary.pid : primary.pid;
    process.kill(target, 'SIGSTOP');
    await until(() => stateOf(primary.pid) === 'T', 'the primary to be stopped');
    await sleep(8 * SHORT); // time that passes is what this is about
    process.kill(target, 'SIGCONT');
    // That it watches again, and that this is the first that it tells:
    const [victim] = pids as [number];
    await stopped(victim);
    const { pid } = await primary.line('hung');
    assert.is(pid, victim);
    assert.equal(
      primary.said('blocked').map((line) => line['pid']),
      [victim],
    );
    assert.equal((await primary.line('down'))['pid'], victim);
    assert.is(primary.said('hung').length, 1);
  });
}

test('a primary that was busy itself for longer than hangTimeout kills and blocks nobody', async () => {
  await using supervisor = await gated({ blockedAfter: SHORT, hangTimeout: SHORT });
  await using pool = await balance(supervisor, 'pool');
  const story = storyOf(supervisor);
  const pids = upPids(supervisor);
  const calls = pids.map((pid) => call(pid, hold('it')));
  for (const pid of pids) await noted(pid, 'start it');
  for (let round = 0; round < 3; round++) {
    await sleep(SHORT); // for it to have looked at them
    const more = times(10, () => pool.call({ op: 'note', value: 'z' }));
    const end = performance.now() + 2 * SHORT;
    while (performance.now() < end);
    await Promise.all(more);
  }
  for (const pid of pids) {
    assert.equal(story.of(pid), []);
    await release(pid, 'it');
  }
  await Promise.all(calls);
});

test.run();
