/** A new build that does not work: it throws, exits, hangs, or dies later. The old one goes on. */

import { readFileSync } from 'node:fs';
import { type BallermannError, balance } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { pidAt } from '../support/gate.js';
import { killed, next, rejects, until } from '../support/helpers.js';
import { Folder, Forked, isAlive } from '../support/processes.js';
import { buildsOf, live, load, pidsOf, sizes } from '../support/reloading.js';

for (const [what, breaks, options, expected] of [
  ['throws', 'throws', {}, /exited with code 1 before it was ready: a broken build/],
  ['exits', 'exits', {}, /exited with code 3 before it was ready/],
  [
    'does not get ready in time',
    'hangs',
    { readyTimeout: 4_000 },
    /not ready within 4000 ms \(readyTimeout\)/,
  ],
] as const) {
  test(`a new build that ${what} changes nothing: the old ones serve, and restarts use the old options`, async () => {
    using forked = new Forked();
    // One failed start, or one stop of a reload, would be one too many.
    await using supervisor = await live({ intensity: 1, period: 60_000, ...options });
    await using pool = await balance(supervisor, `broken: ${what}`);
    const before = supervisor.children();
    const seen = sizes(supervisor, pool);
    const running = load(pool);
    const told = next<[BallermannError]>(supervisor, 'reloadFailed');
    using folder = new Folder();
    const env = { BUILD: 'new', BREAKS: breaks, STARTS: folder.at('starts') };
    const failure = await rejects(supervisor.reload({ env }), {
      code: 'ERR_START_FAILED',
      message: expected,
    });
    assert.is((await told)[0], failure);
    if (breaks === 'throws') assert.is((failure.cause as Error).name, 'RangeError');
    assert.equal(supervisor.children(), before);
    assert.is(readFileSync(folder.at('starts'), 'utf8').split('\n').length - 1, 1, 'one try');
    if (breaks !== 'hangs') await rejects(supervisor.reload({ env }), 'ERR_START_FAILED');
    assert.ok((await running.end()) > 0);
    assert.equal([...seen], [3]);
    assert.equal(
      forked.pids.filter(isAlive).filter((pid) => !pidsOf(supervisor).includes(pid)),
      [],
    );
    assert.is((await killed(supervisor, pidAt(pidsOf(supervisor), 0))).restart, true);
    await next(supervisor, 'up');
    assert.equal(await buildsOf(supervisor), ['old', 'old', 'old']);
  });
}

test('a build that breaks in the middle: what is replaced stays until it restarts, and with the old options then', async () => {
  using folder = new Folder();
  await using supervisor = await live();
  await using pool = await balance(supervisor, 'middle');
  const before = pidsOf(supervisor);
  const env = { BUILD: 'new', BREAKS: 'throws', STARTS: folder.at('starts'), FROM: '1' };
  await rejects(supervisor.reload({ env }), 'ERR_START_FAILED');
  assert.equal(await buildsOf(supervisor), ['new', 'old', 'old']);
  assert.equal(pidsOf(supervisor).slice(1), before.slice(1));
  assert.equal(pool.pids().sort(), pidsOf(supervisor).sort());
  await supervisor.reload();
  assert.equal(await buildsOf(supervisor), ['old', 'old', 'old']);
});

test('with several at a time, those that were under way are given up, and none is left behind', async () => {
  using folder = new Folder();
  using forked = new Forked();
  await using supervisor = await live({ readyTimeout: 600_000 });
  const before = supervisor.children();
  // The first one fails while the others hang.
  const script = folder.script(
    'one.mjs',
    `import { openSync } from 'node:fs';
     let isFirst = true;
     try { openSync(${JSON.stringify(folder.at('first'))}, 'wx'); } catch { isFirst = false; }
     if (isFirst) throw new Error('the first');
     setTimeout(() => {}, 600_000);`,
  );
  await rejects(supervisor.reload({ exec: script, maxUnavailable: 3 }), {
    code: 'ERR_START_FAILED',
    message: /the first/,
  });
  assert.equal(supervisor.children(), before);
  assert.is(forked.pids.length, 6);
  assert.equal(forked.pids.slice(3).filter(isAlive), []);
});

test('a build that dies once it is ready stops the reload as well', async () => {
  using folder = new Folder();
  await using supervisor = await live({ intensity: 5, period: 60_000 });
  const before = pidsOf(supervisor);
  const env = { BUILD: 'new', BREAKS: 'later', STARTS: folder.at('starts') };
  await rejects(supervisor.reload({ env }), {
    code: 'ERR_START_FAILED',
    message: /ended with code 4 before the reload was done/,
  });
  assert.equal(pidsOf(supervisor).slice(-2), before.slice(1), 'the next one was given up');
  await until(() => supervisor.children().every(({ state }) => state === 'up'), 'its restart');
  assert.equal(await buildsOf(supervisor), ['old', 'old', 'old']);
});

test.run();
