/** Servers under full load: nothing fails, nothing runs in windows, and these cost little beyond what they wait for. */

import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ping } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';
import { fullSpeed, type Kind, slotWord, Web, windowsAtFullSpeed } from '../support/web.js';
import {
  Control,
  longestIn,
  median,
  now,
  requestsIn,
  type Time,
  type WindowTimes,
} from '../support/window-length.js';

/** ms that a window may take beyond what it waits for. */
const OWN = 20;

test('100 connections at full speed and 20 windows: nothing fails, nothing runs inside, none is longer than it must', async () => {
  using folder = new Folder();
  const env = { SPANS: folder.at('spans') };
  await using web = await Web.serve('http', { replicas: 2, env });
  const windowFile = web.folder.at('window');
  const load = fullSpeed(web.port);
  using control = new Control();
  const windows: WindowTimes[] = [];
  for (let i = 0; i < 20; i++) {
    const before = slotWord('slotBegun');
    await until(() => slotWord('slotBegun') !== before, 'requests between two windows');
    control.latest();
    const began = now();
    const ran = await web.pool.applyWithin(
      async (): Promise<[Time, Time]> => {
        const begin = now();
        web.folder.open('window');
        await sleep(10);
        rmSync(windowFile);
        return [begin, now()];
      },
      (pid) => ping(pid),
    );
    windows.push({ began, ran, ended: now(), lateness: control.latest() });
  }
  const { errors, timeouts, non2xx, '2xx': answered } = await load.stop();
  assert.equal({ errors, timeouts, non2xx }, { errors: 0, timeouts: 0, non2xx: 0 });
  assert.ok(answered >= 20, 'one before each window at least');
  await web.supervisor.close();
  const requests = requestsIn(env.SPANS);
  assert.ok(requests.length >= answered, 'each request was noted');
  const rows = windows.map((window) => {
    const { began, ran, ended, lateness } = window;
    const longest = longestIn(window, requests);
    const fn = ran[1] - ran[0];
    return { length: ended - began, longest, fn, lateness, own: ended - began - longest - fn - lateness };
  });
  const shown = rows.map((row) =>
    Object.values(row)
      .map((ms) => ms.toFixed(1))
      .join(' '),
  );
  console.error(
    [`${answered} requests; each window, its longest request, fn, lateness, the rest (ms):`, ...shown].join(
      '\n',
    ),
  );
  const own = median(rows.map((row) => row.own));
  assert.ok(own <= OWN, `half of the windows took ${own.toFixed(1)} ms or more beyond what they waited for`);
});

for (const kind of ['fastify', 'koa', 'hono'] as Kind[]) {
  test(`${kind}: balanced connections at full speed and windows: nothing fails, nothing runs inside`, () =>
    windowsAtFullSpeed(kind));
}

test('resize down at full speed: nothing fails', async () => {
  await using web = await Web.serve('http', { replicas: 2 });
  const load = fullSpeed(web.port);
  for (const replicas of [1, 2, 1, 2]) {
    const before = web.diary.read().length;
    await until(() => web.diary.read().length > before + 500, 'requests');
    await web.supervisor.resize(replicas);
  }
  const { errors, timeouts, non2xx } = await load.stop();
  assert.equal({ errors, timeouts, non2xx }, { errors: 0, timeouts: 0, non2xx: 0 });
});

test.run();
