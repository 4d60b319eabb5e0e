/** Thousands of badly behaved connections to a control socket: calls go on, memory stays bounded. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { balance } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RawControl, RuntimeFolder } from '../support/control.js';
import { fuzz } from '../support/control-fuzz.js';
import { start, until } from '../support/helpers.js';

const CONNECTIONS = 20_000;
const SEED = Number(process.env['SEED'] ?? Date.now() % 1e9);

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heap(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test(`${CONNECTIONS} hostile connections: no call fails, and memory is what it was (SEED=${SEED})`, async () => {
  using folder = new RuntimeFolder();
  await using supervisor = await start({ control: true, name: 'web', replicas: 1 });
  const pool = await balance(supervisor, 'pool');
  let calls = 0;
  let isOver = false;
  const calling = (async () => {
    for (; !isOver; calls++) await pool.call({ number: calls }, { timeout: 10_000 });
  })();
  const path = folder.socket('web');
  await fuzz(path, { connections: 2_000, seed: SEED });
  const before = heap();
  const seen: number[] = [];
  await fuzz(path, {
    connections: CONNECTIONS - 2_000,
    seed: SEED + 1,
    check: async () => {
      seen.push(heap());
    },
  });
  await until(() => !pool.stats().paused, 'the pool to be open');
  isOver = true;
  await calling;
  const after = heap();
  console.log(
    `${calls} calls meanwhile; heap before ${before}, after ${after}, at most ${Math.max(...seen)} bytes`,
  );
  assert.ok(calls > 100, `${calls} calls`);
  assert.ok(after < before + 8 * 2 ** 20, `${after - before} bytes more`);
  assert.is(supervisor.children()[0]?.incarnation, 1, 'the replica is the first one still');
  using control = new RawControl(path);
  control.ask({ verb: 'status' });
  assert.ok((await control.answer()).result);
});

test.run();
