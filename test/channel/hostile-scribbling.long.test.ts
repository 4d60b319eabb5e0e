/**
 * Replicas that write over the memory of their channel, very often. BALLERMANN_FORGED says how often, where it is not
 * a million times.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runs } from '../support/forging.js';
import { scribbled } from '../support/scribbling.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function memory(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test('a million times: the primary lives, its memory stays flat, and no outcome is unknown', async () => {
  const uncaught: unknown[] = [];
  process.on('uncaughtException', (error) => uncaught.push(error));
  const { count } = runs(1_000_000);
  const first = await scribbled(count / 10);
  await first.supervisor.close();
  const afterSome = memory();
  const { supervisor, outcomes, reasons } = await scribbled(count);
  await supervisor.close();
  console.log('calls:', [...outcomes], 'ends:', [...reasons]);
  const grown = (memory() - afterSome) / 2 ** 20;
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
