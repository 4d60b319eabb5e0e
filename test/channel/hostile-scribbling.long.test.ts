/**
 * Replicas that write over the memory of their channel, very often. BALLERMANN_FORGED says how often, where it is not
 * a million times.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runs } from '../support/forging.js';
import { memory } from '../support/memory.js';
import { scribbled } from '../support/scribbling.js';

test('a million times: the primary lives, its memory stays flat, and no outcome is unknown', async () => {
  const uncaught: unknown[] = [];
  process.on('uncaughtException', (error) => uncaught.push(error));
  const { count } = runs(1_000_000);
  const first = await scribbled(count / 10);
  await first.supervisor.close();
  const afterSome = memory().all;
  const { supervisor, outcomes, reasons } = await scribbled(count);
  await supervisor.close();
  console.log('calls:', [...outcomes], 'ends:', [...reasons]);
  const grown = (memory().all - afterSome) / 2 ** 20;
  assert.ok(grown < 16, `${grown.toFixed(1)} MiB more`);
  assert.equal(uncaught, []);
  const known = [
    undefined,
    'ERR_REPLICA_DIED',
    'ERR_TIMEOUT',
    'ERR_REMOTE',
    'ERR_PROTOCOL',
    'ERR_NO_SUCH_REPLICA',
  ];
  assert.equal(
    [...outcomes].filter((code) => !known.includes(code)),
    [],
  );
});

test.run();
