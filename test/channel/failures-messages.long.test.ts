/** Messages and replies of every size, up to what is refused, and replies of a process that exits as it gives them. */

import { type Balancer, balance, call, cast } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MAX_PAYLOAD } from '#src/channel/codec.js';
import { failing, patient } from '../support/failing.js';
import { upPids } from '../support/gate.js';
import { type Failure, rejects, throws, times, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

const KB = 1024;
const MB = 1024 * KB;

/** What a message weighs beside its text, at most. */
const AROUND = 128;

async function carries(serialization: 'json' | 'advanced'): Promise<void> {
  using folder = new Folder();
  await using supervisor = await failing(folder, { replicas: 1, serialization });
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  for (const size of [1, KB, 64 * KB, MB, MAX_PAYLOAD - AROUND]) {
    const text = 'x'.repeat(size);
    const there = await pool.call<Sizes>({ op: 'sizes', text }, patient);
    assert.equal(there, { took: size, text: '' });
    const back = await call<Sizes>(replica, { op: 'sizes', reply: size }, patient);
    assert.is(back.text.length, size);
  }
  for (const size of [MAX_PAYLOAD, 128 * MB]) {
    const message = { op: 'sizes', text: 'x'.repeat(size) };
    const before = pool.stats().sent;
    checkRefusal(await rejects(pool.call(message), 'ERR_OUT_OF_RANGE'));
    checkRefusal(throws(() => cast(replica, message), 'ERR_OUT_OF_RANGE'));
    assert.is(pool.stats().sent, before, 'nothing was sent');
    const remote = await rejects(pool.call({ op: 'sizes', reply: size }, patient), 'ERR_REMOTE');
    checkRefusal(remote.cause as Failure);
  }
  assert.is(pool.pid(), replica, 'it lives');
  assert.equal(await pool.call({ op: 'sizes', text: 'x' }), { took: 1, text: '' });
  assert.equal(trouble(pool), { malformed: 0, late: 0, redirected: 0 });
}

interface Sizes {
  readonly took: number;
  readonly text: string;
}

/** It names the argument, the limit and what came. */
function checkRefusal(error: Failure): void {
  assert.is(error.name, 'RangeError');
  assert.match(error.message, /^message must be at most 67108864 characters or bytes .* \d{8,}/);
}

function trouble(pool: Balancer): object {
  const { malformed, late, redirected } = pool.stats();
  return { malformed, late, redirected };
}

test('from 1 byte to 64 MiB messages and replies arrive whole, as JSON; 128 MiB are refused at once', () =>
  carries('json'));

test('from 1 byte to 64 MiB messages and replies arrive whole, as bytes; 128 MiB are refused at once', () =>
  carries('advanced'));

test('replies of any size and an exit in one turn: they arrive whole', async () => {
  using folder = new Folder();
  await using supervisor = await failing(folder, { replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  for (const size of [1, KB, 16 * KB, MB, 8 * MB, 32 * MB]) {
    const replica = (await until(() => upPids(supervisor)[0], 'a replica')) as number;
    const replies = await Promise.all(
      times(3, () => call<string>(replica, { op: 'lastWords', size }, patient)),
    );
    assert.equal(
      replies.map(({ length }) => length),
      [size, size, size],
    );
    await until(() => !upPids(supervisor).includes(replica), 'its end');
  }
  assert.equal(trouble(pool), { malformed: 0, late: 0, redirected: 0 });
});

test.run();
