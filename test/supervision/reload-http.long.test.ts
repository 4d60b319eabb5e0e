/** Reloads and deaths of plain http servers under load: what their clients see. */

import cluster, { type Address, type Worker } from 'node:cluster';
import { once } from 'node:events';
import { type Supervisor, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, killed, next, times, until } from '../support/helpers.js';
import { later } from '../support/processes.js';
import { rounds } from '../support/rounds.js';
import { type Outcome, Traffic } from '../support/traffic.js';
import { Session2, Web } from '../support/web.js';

const CLIENTS = 8;

/** Two servers on one port. */
async function serve(): Promise<{ supervisor: Supervisor; port: number }> {
  const listening = once(cluster, 'listening') as Promise<[Worker, Address]>;
  const supervisor = await supervise({ exec: fixture('reload/server.mjs'), replicas: 2 });
  const [, { port }] = await listening;
  return { supervisor, port };
}

/** How many failed; fails itself where it was in another way than those. */
function failed({ answered, failures }: Outcome, what: string, ways: readonly string[]): number {
  console.log(`${what}: ${answered} answered, failed: ${JSON.stringify([...failures])}`);
  assert.ok(answered > 100);
  assert.equal(
    [...failures.keys()].filter((failure) => !ways.includes(failure)),
    [],
  );
  return [...failures.values()].reduce((sum, count) => sum + count, 0);
}

/** Eight clients that keep their connection, and eight that make one for each request. */
function bothKinds(port: number, timeout?: number): [kind: string, traffic: Traffic][] {
  return [
    ['kept-alive connections', new Traffic(port, CLIENTS, true, timeout)],
    ['a connection a request', new Traffic(port, CLIENTS, false, timeout)],
  ];
}

test('reloads under load: no request fails', async () => {
  const count = rounds(3);
  const { supervisor, port } = await serve();
  await using _ = supervisor;
  const clients = bothKinds(port);
  for (let build = 1; build <= count; build++) await supervisor.reload({ env: { BUILD: `build ${build}` } });
  for (const [kind, traffic] of clients) {
    const outcome = await traffic.end();
    assert.ok(outcome.last.includes(`build ${count}`), outcome.last);
    assert.is(failed(outcome, `${count} reloads, ${kind}`, []), 0);
  }
});

for (const kind of ['http2', 'http2s'] as const) {
  test(`reloads under load, ${kind}: each request runs once, and is answered`, async () => {
    await using web = await Web.serve(kind, { replicas: 2 });
    let isOver = false;
    let sent = 0;
    let answered = 0;
    const session = (): Session2 => new Session2(web.port, kind === 'http2s');
    const clients = times(4, async () => {
      let client = session();
      const request = async (path: string): Promise<void> => {
        for (;;) {
          // As a GOAWAY wants it: another connection for what comes next, and for what was refused.
          if (client.session.closed) client = session();
          try {
            assert.is((await client.ask(path)).status, 200);
            answered++;
            return;
          } catch (error) {
            if (!/NGHTTP2_REFUSED_STREAM/.test(String(error))) throw error;
          }
        }
      };
      while (!isOver) await Promise.all(times(8, () => request(`/${sent++}`)));
      client.session.close();
    });
    const load = later(Promise.all(clients));
    for (let left = rounds(2); left > 0; left--) {
      const goal = answered + 64;
      await Promise.race([load, until(() => answered >= goal, 'streams between two reloads')]);
      await web.supervisor.reload();
    }
    isOver = true;
    await load;
    assert.is(answered, sent);
    const asked = web.diary.read().filter((line) => line.startsWith('asked '));
    assert.is(new Set(asked).size, sent);
    assert.is(asked.length, sent, 'requests that ran, some of them twice');
  });
}

test('a crash loses only what that replica was running', async () => {
  const { supervisor, port } = await serve();
  await using _ = supervisor;
  const clients = bothKinds(port, 2_000);
  const all = (count: number) => Promise.all(clients.map(([, traffic]) => traffic.reached(count)));
  const up = later(next(supervisor, 'up'));
  await all(100);
  await killed(supervisor, supervisor.children()[0]?.pid as number);
  await up;
  await all(100);
  for (const [kind, traffic] of clients)
    assert.ok(failed(await traffic.end(), `a crash, ${kind}`, ['ECONNRESET']) <= CLIENTS);
});

test.run();
