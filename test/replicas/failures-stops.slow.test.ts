/** Replicas that are stopped (SIGSTOP) under their calls, and a primary that is. Linux's /proc says when they are. */

import { setTimeout as sleep } from 'node:timers/promises';
import { balance, call, cast, ping } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { begun, failing, patient, stopped } from '../support/failing.js';
import { rejects, times, until } from '../support/helpers.js';
import { Diary, Folder, later, Primary } from '../support/processes.js';

test('a replica that is stopped and goes on: its calls timed out once, and its late replies are dropped and counted', async () => {
  using folder = new Folder();
  await using supervisor = await failing(folder);
  await using pool = await balance(supervisor, 'pool');
  const [replica, other] = pool.pids() as [number, number];
  const brief = { timeout: 50 };
  const running = later(call(replica, { op: 'hold', key: 'it' }, { timeout: 500 }));
  await begun(folder, replica, 'it');
  await stopped(replica);
  try {
    // These lie in its channel, with one that fills the channel up; those behind wait here.
    const sent = times(3, () => later(call(replica, { op: 'handled' }, brief)));
    cast(replica, { op: 'sizes', text: 'x'.repeat(16 * 1024 * 1024) });
    for (const promise of sent) await rejects(promise, 'ERR_TIMEOUT');
    const queued = times(5, () => later(call(replica, { op: 'handled' }, brief)));
    for (const promise of [...queued, running]) await rejects(promise, 'ERR_TIMEOUT');
    assert.is(pool.stats().late, 0);
    assert.is(await call(other, { op: 'handled' }), 1, 'the other one works');
  } finally {
    process.kill(replica, 'SIGCONT');
  }
  await call(replica, { op: 'open', key: 'it' });
  await ping(replica, patient);
  const { late, malformed, redirected } = pool.stats();
  assert.equal({ late, malformed, redirected }, { late: 4, malformed: 0, redirected: 0 });
  // What ran: hold, three calls, the cast, open and this. The five were never sent.
  assert.is(await call(replica, { op: 'handled' }), 7);
  assert.is(pool.stats().replicas.find(({ pid }) => pid === replica)?.unfinished, 0);
  await until(() => pool.pids().length === 2, 'it to be back in rotation');
});

test('a primary that is stopped for 4 s: nobody is killed or blamed, and what was answered meanwhile counts', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using primary = new Primary({
    supervisor: { replicas: 2, env: { DIARY: diary.file }, hangTimeout: 1_000 },
    message: [{ op: 'sleep', ms: 1_500 }, { op: 'hang' }],
    calls: 6,
    timeout: 3_000,
  });
  await primary.ready();
  await diary.has('begins sleep', 3);
  await diary.has('begins hang', 3);
  await sleep(300); // for the primary to have looked at them
  const over = sleep(4_000); // time that passes is what this is about
  await stopped(primary.pid);
  assert.equal(primary.said('answer'), []);
  await diary.has('ends sleep', 3);
  await over;
  process.kill(primary.pid, 'SIGCONT');
  await primary.line('failure', 3);
  assert.is(primary.said('answer').length, 3);
  assert.equal(
    primary.said('failure').map(({ code }) => code),
    times(3, () => 'ERR_TIMEOUT'),
  );
  await sleep(1_200); // in which it would kill those that it has not heard of
  for (const what of ['blocked', 'hung', 'down']) assert.equal(primary.said(what), [], what);
});

test.run();
