/** How many replicas start at a time, and who is next. */

import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Child } from '#src/primary/supervision/child.js';
import { StartQueue } from '#src/primary/supervision/start-queue.js';
import { rejects, until } from '../support/helpers.js';
import { Folder, Forked } from '../support/processes.js';

/** A queue whose starts are noted, of children that are names; those in capitals have been up. */
function queueOf(atATime: number): { queue: StartQueue; child: (name: string) => Child; started: string[] } {
  const queue = new StartQueue(atATime);
  const started: string[] = [];
  const children = new Map<string, Child>();
  const child = (name: string): Child => {
    if (!children.has(name)) children.set(name, { hasBeenUp: name !== name.toLowerCase() } as Child);
    return children.get(name) as Child;
  };
  for (const name of ['a', 'b', 'c', 'D', 'e', 'F']) queue.enter(child(name), () => started.push(name));
  return { queue, child, started };
}

test('so many start at a time, in order, and those first that have been up', () => {
  const { queue, child, started } = queueOf(2);
  assert.is(started.join(''), 'ab');
  queue.left(child('b'));
  assert.is(started.join(''), 'abD');
  queue.left(child('D'));
  queue.left(child('D'));
  assert.is(started.join(''), 'abDF', 'who has left twice made room once');
  queue.left(child('a'));
  queue.left(child('F'));
  assert.is(started.join(''), 'abDFce');
});

test('who is to start no more is passed over, and may come again', () => {
  const { queue, child, started } = queueOf(1);
  for (const name of ['D', 'b', 'F']) queue.left(child(name));
  queue.left(child('a'));
  queue.enter(child('b'), () => started.push('b again'));
  for (const name of ['c', 'e']) queue.left(child(name));
  assert.equal(started, ['a', 'c', 'e', 'b again']);
});

test('without a limit all start at once', () => {
  assert.equal(queueOf(Number.POSITIVE_INFINITY).started, ['a', 'b', 'c', 'D', 'e', 'F']);
});

test('startConcurrency holds at first, after a shock, in a reload and in a resize that is ended by close()', async () => {
  using folder = new Folder();
  using forked = new Forked();
  const diary = folder.script('diary', '');
  const exec = folder.script(
    'slow.mjs',
    `
    import { appendFileSync } from 'node:fs';
    import { createServer } from 'node:net';
    const note = (text) => appendFileSync(${JSON.stringify(diary)}, text);
    note('(');
    await new Promise((resolve) => setTimeout(resolve, 50));
    note(')');
    createServer().listen(0, '127.0.0.1');
    `,
  );
  const starts = (): string => readFileSync(diary, 'utf8');
  const oneByOne = (count: number): string => '()'.repeat(count);
  await using supervisor = await supervise({ exec, replicas: 3, startConcurrency: 1, log: false });
  assert.is(starts(), oneByOne(3));
  for (const { pid } of supervisor.children()) process.kill(pid as number, 'SIGKILL');
  await until(
    () => starts().length === 12 && supervisor.children().every(({ state }) => state === 'up'),
    'all to be back',
  );
  assert.is(starts(), oneByOne(6));
  await supervisor.reload({ maxUnavailable: 3 });
  assert.is(starts(), oneByOne(9));
  await supervisor.resize(4);
  const [resized] = await Promise.all([
    rejects(supervisor.resize(7), 'ERR_CLOSED'),
    turn().then(() => supervisor.close()),
  ]);
  assert.is(resized.code, 'ERR_CLOSED');
  assert.is(forked.pids.length, 11, 'of three that were to come, two had not begun');
});

test.run();
