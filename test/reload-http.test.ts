/** Reloads of plain http servers under load: what their clients see. */

import cluster, { type Address, type Worker } from 'node:cluster';
import { once } from 'node:events';
import { supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture } from './helpers.js';
import { Traffic } from './traffic.js';

for (const keepAlive of [false, true]) {
  const kind = keepAlive ? 'kept-alive connections' : 'a connection a request';
  test(`10 reloads of http servers under load, ${kind}`, async () => {
    const listening = once(cluster, 'listening') as Promise<[Worker, Address]>;
    await using supervisor = await supervise({ exec: fixture('reload/server.mjs'), replicas: 2 });
    const [, { port }] = await listening;
    const traffic = new Traffic(port, 8, keepAlive);
    for (let build = 1; build <= 10; build++) await supervisor.reload({ env: { BUILD: `build ${build}` } });
    const { answered, failures, last } = await traffic.end();
    console.log(`${kind}: ${answered} answered, failed: ${JSON.stringify([...failures])}`);
    assert.match(last, /build 10/);
    // Somebody always listens, and every answer is a whole one. But with Node's own scheduling a connection that is
    // handed to a replica while it closes its servers can be reset before its request is read.
    assert.equal(
      [...failures.keys()].filter((failure) => failure !== 'ECONNRESET'),
      [],
    );
    assert.ok(answered > 100);
  });
}

test.run();
