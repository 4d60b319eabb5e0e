/** Each replica has a number, 0 to n - 1, which its restarts and successors keep, and which is used again when it is free. */

import { Agent, get } from 'node:http';
import { text } from 'node:stream/consumers';
import { call, type Supervisor } from 'ballermann';
import { index } from 'ballermann/replica';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, killed, start, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

function pidOf(supervisor: Supervisor, id: number): number | undefined {
  return supervisor.children().find((child) => child.id === id && child.state === 'up')?.pid;
}

function idsOf(supervisor: Supervisor): number[] {
  return supervisor.children().map(({ id }) => id);
}

/** What the replica of that number, which is up, says of itself; undefined where none is. */
async function asked(supervisor: Supervisor, id: number): Promise<unknown> {
  const pid = pidOf(supervisor, id);
  return pid && call(pid, 'who are you?');
}

/** Who answers at the path of that number. */
async function answerAt(folder: Folder, id: number): Promise<string> {
  const agent = new Agent();
  try {
    return await new Promise((resolve, reject) => {
      get({ socketPath: folder.at(`${id}.sock`), agent }, (response) => resolve(text(response))).on(
        'error',
        reject,
      );
    });
  } finally {
    agent.destroy();
  }
}

test('a number stays through crashes, reloads and resizes: for the replica, its threads, its processes, its own path', async () => {
  using folder = new Folder();
  const exec = fixture('identity.mjs');
  await using supervisor = await start({ exec, args: [folder.path], replicas: 3 });
  const areThere = async (count: number, what: string): Promise<void> => {
    assert.equal(idsOf(supervisor), [...Array(count).keys()], what);
    for (const id of idsOf(supervisor)) {
      const env = `${id}`;
      assert.equal(await asked(supervisor, id), { index: id, env, inThread: id, inChild: id }, what);
      assert.is(await answerAt(folder, id), env, what);
    }
  };
  await areThere(3, 'at the start');
  const middle = pidOf(supervisor, 1) as number;
  await killed(supervisor, middle);
  assert.is(await answerAt(folder, 1), '1', 'its path waits for its successor');
  await until(() => pidOf(supervisor, 1), 'the restart');
  await areThere(3, 'after a crash');
  await supervisor.reload();
  await areThere(3, 'after a reload');
  await supervisor.resize(1);
  await areThere(1, 'after a resize down');
  await supervisor.resize(2);
  await areThere(2, 'after a resize up');
});

test('a number is free when its child is gone for good, and the lowest free one is the next', async () => {
  await using supervisor = await start({ replicas: 3, restart: 'temporary' });
  await killed(supervisor, pidOf(supervisor, 1) as number);
  assert.equal(idsOf(supervisor), [0, 2]);
  await supervisor.resize(4);
  assert.equal(idsOf(supervisor), [0, 1, 2, 3]);
});

test('outside a replica there is no number', () => {
  assert.ok(Number.isNaN(index));
  assert.is(process.env['BALLERMANN_INDEX'], undefined);
});

test.run();
