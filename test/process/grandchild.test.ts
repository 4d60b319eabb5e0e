/** A process that a replica has started, and that outlives the replica and the supervisor: it holds nothing of theirs. */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import type { SupervisorOptions } from 'ballermann';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { upPids } from '../support/gate.js';
import { killed, until } from '../support/helpers.js';
import { answerOf, ask, HOST, listeners, listenIn, portOfAll } from '../support/listening.js';
import { isAlive, openFiles } from '../support/processes.js';

const test = suite('', undefined);
const linux = process.platform === 'linux' ? test : test.skip;

/** A grandchild; ended at the end of its `await using`. */
async function startedBy(replica: number): Promise<{ pid: number } & AsyncDisposable> {
  const pid = await ask<number>(replica, 'detach');
  return {
    pid,
    async [Symbol.asyncDispose]() {
      process.kill(pid, 'SIGKILL');
      await until(() => !isAlive(pid), 'the end of the grandchild');
    },
  };
}

/** What this process was itself started with, by whomever, goes through to all. */
const inherited = new Set(openFiles(process.pid).map(({ target }) => target));

/** While it is being started it may have a library open; what it was left with stays open. */
async function holdsNothing(pid: number): Promise<void> {
  const own = (targets: string[]) => targets.filter((target) => !inherited.has(target));
  const expected = own(['/dev/null', '/dev/null', '/dev/null']);
  const held = () => own(openFiles(pid).map(({ target }) => target));
  await until(
    () => isDeepStrictEqual(held(), expected),
    () => `process ${pid} to hold no socket, no channel, no segment; it holds ${held().join(', ')}`,
  );
}

async function outlives(options: Partial<SupervisorOptions>): Promise<void> {
  await using supervisor = await listeners(options);
  const port = await portOfAll(supervisor, { manner: 'echo' });
  const [first, second] = upPids(supervisor) as [number, number];
  await using grandchild = await startedBy(first);
  await using another = await startedBy(second);
  for (const { pid } of [grandchild, another]) await holdsNothing(pid);

  // Its death is the end of its channel, and its socket is the others' and its successor's.
  const down = await killed(supervisor, first);
  assert.is(down.signal, 'SIGKILL');
  await until(() => upPids(supervisor).length === 2, 'the restart');
  const successor = upPids(supervisor).find((pid) => pid !== second) as number;
  const { address } = await listenIn(successor, { port: 0 });
  assert.is(address.port, port);

  await supervisor.close();
  for (const { pid } of [grandchild, another]) assert.ok(isAlive(pid));
  const own = createServer((socket) => socket.end('the next one')).listen(port, HOST);
  await once(own, 'listening');
  assert.is(await answerOf(port), 'the next one');
  own.close();
  await once(own, 'close');
}

linux('a grandchild that lives on holds no socket, channel or segment, and the port is free again', () =>
  outlives({}),
);

linux('nor does it where node:cluster schedules the connections', () => outlives({ listen: 'node' }));

test.run();
