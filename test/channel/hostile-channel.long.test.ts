/** A replica that writes to its channel what it likes: forged messages, words of Node's own, bytes that are no message. */

import { type Balancer, balance, call, ping, type Supervisor } from 'ballermann';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { converse, mutated, ofNode, Recorder, replayable, runs, tapped } from '../support/forging.js';
import { gated, pidAt, upPids } from '../support/gate.js';
import { downOf, type Failure, fixture, start, until } from '../support/helpers.js';
import { scribbled } from '../support/scribbling.js';

type Serialization = 'json' | 'advanced';

const both: Serialization[] = ['json', 'advanced'];

/** Supervises hostile replicas; an uncaught error of the primary fails the test that caused it. */
async function besieged(
  serialization: Serialization,
  work: (supervisor: Supervisor, pool: Balancer) => Promise<void>,
): Promise<void> {
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => void uncaught.push(error);
  process.on('uncaughtException', note);
  try {
    await using supervisor = await start({
      exec: fixture('hostile.mjs'),
      serialization,
      env: tapped,
      intensity: 10_000,
      backoff: { initial: 1, max: 10 },
    });
    await using pool = await balance(supervisor, 'pool');
    await work(supervisor, pool);
    await until(() => upPids(supervisor).length === 2, 'both replicas to be there');
    await pool.refresh();
    for (const pid of pool.pids()) {
      assert.equal(await call(pid, { op: 'echo', value: [pid] }), [pid]);
      await ping(pid);
    }
    assert.equal(uncaught, []);
    assert.equal(Object.keys(Object.prototype), []);
  } finally {
    process.off('uncaughtException', note);
  }
}

/** What honest replicas send. */
async function recorded(serialization: Serialization): Promise<unknown[][]> {
  using recorder = new Recorder();
  await using supervisor = await gated({ serialization });
  await using pool = await balance(supervisor, 'pool');
  await converse(pool);
  return recorder.batches as unknown[][];
}

/** Resolves when so many have been counted. Node's messages come by a channel of their own, so no ping comes behind them. */
async function counted(pool: Balancer, expected: number): Promise<void> {
  await until(() => pool.stats().malformed >= expected, `${expected} to be counted`);
  assert.is(pool.stats().malformed, expected);
}

for (const serialization of both) {
  test(`thousands of forged messages through the channel, as ${serialization}: the primary lives`, async () => {
    const real = await recorded(serialization);
    const { seed } = runs(0);
    const forge = fc.record({ op: fc.constant('forgeValue'), batch: mutated(real) });
    // It would end its sender only, by an assertion of Node's there.
    const ofCluster = ofNode.filter((message) => (message as { cmd: string }).cmd !== 'NODE_HANDLE');
    const send = fc.record({ op: fc.constant('send'), messages: fc.tuple(ofCluster) });
    const forged = fc.oneof({ weight: 9, arbitrary: forge }, { weight: 1, arbitrary: send });
    const operations = fc.sample(forged, { numRuns: 3_000, seed });
    await replayable(seed, () =>
      besieged(serialization, async (supervisor, pool) => {
        while (operations.length > 0) {
          const pid = (await until(() => upPids(supervisor)[0], 'a replica')) as number;
          // An answer may be forged, the replica may have to go, and the message may not fit its own channel.
          await call(pid, { op: 'several', operations: operations.splice(0, 50) }).catch(() => {});
        }
        // The rest of a batch is lost where one of its first ends the replica.
        assert.ok(pool.stats().malformed > 300, `${pool.stats().malformed} were counted`);
        // A forged answer may have come before the rest of its batch, which may end its sender: so with new ones.
        await supervisor.reload();
      }),
    );
  });

  test(`words of Node's that would end a primary of node:cluster are dropped and counted, as ${serialization}`, () =>
    besieged(serialization, async (_supervisor, pool) => {
      const query = { cmd: 'NODE_CLUSTER', act: 'queryServer', seq: 1, index: 0, addressType: 4 };
      const noText = { toString: 1, valueOf: 1 };
      const messages = [
        { ...query, port: 70_000 },
        { ...query, port: -1, addressType: -1 },
        { ...query, port: 'http' },
        { ...query, port: 0, address: {} },
        { ...query, port: 0, fd: {} },
        { ...query, port: 0, fd: null },
        { ...query, port: 0, backlog: noText },
        { ...query, port: 0, flags: noText },
        { ...query, port: 0, index: noText },
        { ...query, port: 0, addressType: noText },
        { ...query, port: 0, address: 'localhost' }, // a name takes time, in which its worker may close it
        { ...query, port: noText, addressType: 'udp4' },
        { ...query, port: -1, address: '', addressType: -1 },
        { ...query, port: -1, address: process.cwd(), addressType: -1 },
        { ...query, port: -1, address: '\0abstract', addressType: -1, readableAll: true },
        { ...query, fd: 2 ** 31, addressType: null },
        { ...query, fd: 1, port: 0, addressType: null },
        { cmd: 'NODE_CLUSTER', act: 'close', key: 'undefined:0:4:undefined:1' },
        { cmd: 'NODE_CLUSTER', act: 'hasOwnProperty' },
        { cmd: 'NODE_CLUSTER', act: '__defineGetter__' },
        { cmd: 'NODE_HANDLE_ACK' },
        { cmd: 'NODE_HANDLE_NACK' },
      ];
      const pids = pool.pids();
      await call(pidAt(pids, 0), { op: 'send', messages });
      await counted(pool, messages.length);
      assert.equal(pool.pids(), pids);
    }));
}

test('a socket that is asked for twice, or closed before it is there: Node would end over it', () =>
  besieged('json', async (_supervisor, pool) => {
    const [sender] = pool.pids();
    const questions = [
      { port: 0, addressType: 4 },
      { port: 0, addressType: 'udp4' },
    ].map((place, i) => ({ cmd: 'NODE_CLUSTER', act: 'queryServer', seq: 1e6 + i, index: 7, ...place }));
    const tooEarly = { cmd: 'NODE_CLUSTER', act: 'close', key: 'undefined:0:4:-2:7' };
    const again = questions.map((question) => ({ ...question, seq: question.seq + 10 }));
    await call(sender as number, { op: 'send', messages: [...questions, tooEarly, ...again] });
    await counted(pool, 3);
  }));

/** As Node writes a message with advanced serialization: its length, then it. */
function framed(body: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, Buffer.from(body, 'latin1')]);
}

const noMessages: Record<Serialization, Buffer[]> = {
  json: [
    'this is no message\n',
    '{"cmd":"NODE_CLUSTER","act":\n',
    '{"cmd":"NODE_CLU', // what comes next is honest
    '\0\0\0\n',
    '\xff\xfe{}\n',
    `${'['.repeat(100_000)}\n`,
  ].map((text) => Buffer.from(text, 'latin1')),
  advanced: ['this is no message', '\xff\x0fo', '\xff\x0f"\x04ab', '\xff\x0fo"\x03cmd"\x05N'].map(framed),
};

/** Has one replica after another do that: it is ended, and the other one serves on. */
async function endsItsSender(supervisor: Supervisor, messages: readonly object[]): Promise<void> {
  for (const message of messages) {
    await until(() => upPids(supervisor).length === 2, 'both replicas');
    const [sender, other] = upPids(supervisor);
    const down = downOf(supervisor, sender as number);
    call(sender as number, message).catch(() => {});
    const { signal, error } = await down;
    assert.is(signal, 'SIGKILL');
    assert.is((error as Failure).code, 'ERR_PROTOCOL');
    assert.instance((error as Failure).cause, Error);
    assert.is(await call(other as number, { op: 'echo', value: 1 }), 1);
  }
}

for (const serialization of both) {
  test(`bytes that are no message of Node's end their sender, with that reason, as ${serialization}`, () =>
    besieged(serialization, (supervisor) => {
      const texts = noMessages[serialization].map((bytes) => bytes.toString('base64'));
      return endsItsSender(
        supervisor,
        // A later message of Node's completes one that was cut off.
        texts.map((base64) => ({
          op: 'several',
          operations: [
            { op: 'write', base64 },
            { op: 'send', messages: ['later'] },
          ],
        })),
      );
    }));
}

test('a text that is no JSON ends its sender, with that reason', () =>
  besieged('json', (supervisor) => {
    const texts = ['this is no message', '[["result",1', '\0', '', '['.repeat(100_000), '\ud800'];
    return endsItsSender(
      supervisor,
      texts.map((text) => ({ op: 'forgeText', text })),
    );
  }));

test('a replica that writes over its channel while the primary reads: the primary lives, and the others serve', async () => {
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => void uncaught.push(error);
  process.on('uncaughtException', note);
  try {
    const { supervisor, reasons } = await scribbled(10_000, 5_000);
    assert.ok(reasons.has('ERR_PROTOCOL'), 'it is ended, with that reason');
    await supervisor.close();
    assert.equal(uncaught, []);
  } finally {
    process.off('uncaughtException', note);
  }
});

test.run();
