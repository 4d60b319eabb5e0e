/** Waiting for the end of a pause that nobody tells: one timer for all that wait. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Pause } from '#src/memory/pause.js';

function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
}

test('however many wait, they share one timer, and when none waits there is none', async () => {
  await new Promise(setImmediate); // else the runner's own timer is still there
  const before = timers();
  let isOver = false;
  const pause = new Pause(() => isOver);
  const aborting = new AbortController();
  const aborted = pause.ended(aborting.signal);
  const all = Promise.all(Array.from({ length: 1000 }, () => pause.ended(new AbortController().signal)));
  assert.is(timers(), before + 1);
  aborting.abort('enough');
  assert.is(await aborted.catch((reason) => reason), 'enough');
  isOver = true;
  await all;
  assert.is(timers(), before);
  isOver = false;
  const last = pause.ended(aborting.signal);
  assert.is(await last.catch((reason) => reason), 'enough', 'aborted before');
  assert.is(timers(), before);
});

test.run();
