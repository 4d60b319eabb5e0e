/** What a reader that has stopped costs the primary: never more than a bound, whatever it is sent. Prints what it was. */

import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { type Balancer, balance, call } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { failing, stopped } from '../support/failing.js';
import { tapped } from '../support/forging.js';
import { duringWindow, upPids } from '../support/gate.js';
import { fixture, rejects, until } from '../support/helpers.js';
import { memory } from '../support/memory.js';
import { Folder, later } from '../support/processes.js';

const MB = 1024 * 1024;
const patient = { timeout: 50_000 };

/** 64 MiB of messages, and what V8, promises and time limits make of them. */
const BOUND = 256 * MB;

/** A text of its own, which shares no memory with another. */
function textOf(length: number): string {
  return Buffer.alloc(length, 'x').toString('latin1');
}

/** Sends until there is no more room: a turn of the event loop now and then, since the channel takes what it can. */
async function fill(send: () => Promise<unknown>): Promise<Promise<unknown>[]> {
  const sent: Promise<unknown>[] = [];
  let refusal: unknown;
  while (refusal === undefined) {
    const promise = send();
    promise.catch((error) => {
      refusal ??= error;
    });
    sent.push(promise);
    await null; // for the rejection
    if (sent.length % 256 > 0) continue;
    await turn();
    assert.ok(process.memoryUsage.rss() < 8 * BOUND, 'there is no end to what it takes');
  }
  await rejects(Promise.reject(refusal), 'ERR_OVERLOAD');
  return sent;
}

test('behind a stopped reader the memory of the primary is bounded, and what was accepted arrives', async () => {
  for (const length of [1, MB]) {
    const send = (replica: number): Promise<unknown> =>
      call(replica, { op: 'sizes', text: textOf(length) }, patient);
    await fillsUp(`calls of ${length}`, send);
  }
});

async function fillsUp(what: string, send: (replica: number) => Promise<unknown>): Promise<void> {
  using folder = new Folder();
  await using supervisor = await failing(folder, { replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const replica = pool.pid();
  const before = memory().all;
  await stopped(replica);
  let sent: Promise<unknown>[];
  try {
    sent = await fill(() => send(replica));
    check(what, sent.length, memory().all - before);
  } finally {
    process.kill(replica, 'SIGCONT');
  }
  const accepted = await acceptedOf(sent);
  await until(() => unfinished(pool) === 0, 'all of it to be handled', 40_000);
  assert.is(await call(replica, { op: 'handled' }), accepted + 1);
}

function check(what: string, count: number, bytes: number): void {
  console.log(`${what} characters: ${count} messages, ${(bytes / MB).toFixed(0)} MiB of memory`);
  assert.ok(bytes > 0 && bytes < BOUND, `${what}: ${bytes} bytes`);
}

/** How many were not refused. A refusal is seen some calls later. */
async function acceptedOf(sent: Promise<unknown>[]): Promise<number> {
  const settled = await Promise.allSettled(sent);
  const accepted = settled.filter(({ status }) => status === 'fulfilled').length;
  assert.ok(accepted >= sent.length - 10, `${sent.length - accepted} were refused or lost`);
  return accepted;
}

function unfinished(pool: Balancer): number {
  return pool.stats().replicas.reduce((sum, replica) => sum + replica.unfinished, 0);
}

for (const [kind, serialization, bound] of [
  ['replies', 'json', 2 * BOUND], // with those to what waits for the other replica by then, and those that it is giving
  ['failures', 'advanced', BOUND],
] as const) {
  test(`who asks and reads no ${kind} is not read either, and gets all of them when it goes on`, async () => {
    using folder = new Folder();
    await using supervisor = await failing(folder, { exec: fixture('deaf.mjs'), serialization, env: tapped });
    const [deaf, other] = upPids(supervisor) as [number, number];
    const before = memory().all;
    const asking = later(
      call<{ asked: number; answers: number }>(
        deaf,
        {
          op: 'ask',
          target: kind === 'replies' ? other : 'no such pool',
          text: textOf(kind === 'replies' ? 10_000 : 1),
          limit: 200_000, // more than 1.8 GiB, if all was read
          said: folder.at('said'),
          gate: folder.at('gate'),
        },
        patient,
      ),
    );
    await until(() => folder.has('said'), 'the end of the questions', 40_000);
    assert.is(readFileSync(folder.at('said'), 'utf8'), 'stuck');
    const bytes = memory().all - before;
    console.log(`unread ${kind}: ${(bytes / MB).toFixed(0)} MiB of memory`);
    assert.ok(bytes < bound, `${bytes} bytes`);
    assert.is(await call(other, { op: 'echo', text: 'to others' }), 'to others');
    folder.open('gate');
    const { asked, answers } = await asking;
    assert.is(answers, asked);
  });
}

test('the memory for what a paused pool holds is bounded, and all of it is sent at the end', async () => {
  using folder = new Folder();
  await using supervisor = await failing(folder, { replicas: 1 });
  await using pool = await balance(supervisor, 'pool');
  const before = memory().all;
  const sent = await duringWindow(pool, async () => {
    const held = await fill(() => pool.call({ op: 'handled' }, patient));
    check('held calls of a few', held.length, memory().all - before);
    return [held];
  });
  const accepted = await acceptedOf(sent.flat());
  assert.is(await pool.call({ op: 'handled' }), accepted + 1);
});

test.run();
