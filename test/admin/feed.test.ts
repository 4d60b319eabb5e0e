/** The stream by itself: what it costs where nobody watches, and what it does to those that do not read. */

import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Feed } from '#src/admin/feed.js';
import { until } from '../support/helpers.js';

/** A client that reads nothing while it is slow. */
class Client extends EventEmitter {
  text = '';
  writableNeedDrain = false;
  destroyed = false;

  write(part: string): void {
    this.text += part;
  }

  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }

  get snapshots(): number {
    return this.text.split('event: snapshot').length - 1;
  }
}

function feeding(patience?: number): { feed: Feed; add(): Client; taken(): number } {
  let taken = 0;
  const feed = new Feed(() => ({ number: ++taken }), patience);
  const add = (): Client => {
    const client = new Client();
    feed.add(client as unknown as ServerResponse, []);
    return client;
  };
  return { feed, add, taken: () => taken };
}

test('no snapshot is taken where nobody watches, whatever happens', async () => {
  const { feed, add, taken } = feeding();
  feed.tell('news', {});
  const client = add();
  await until(() => taken() >= 2, 'a snapshot that the clock has asked for');
  client.destroy();
  const before = taken();
  feed.tell('news', {});
  await sleep(700); // longer than the clock's period
  assert.is(taken(), before);
});

test('all who watch share one snapshot', async () => {
  const { add, taken } = feeding();
  const clients = [add(), add(), add()];
  await until(() => clients.every(({ snapshots }) => snapshots >= 3), 'snapshots');
  assert.ok(taken() <= 3 + 3, String(taken())); // one for each as it came, and then one for all
  for (const client of clients) client.destroy();
});

test('a flood of events is told in full, and does not become a flood of snapshots', async () => {
  const { feed, add, taken } = feeding();
  const client = add();
  const end = performance.now() + 500;
  let told = 0;
  while (performance.now() < end) {
    feed.tell('news', { told: ++told });
    await sleep(1);
  }
  assert.is(client.text.split('event: news').length - 1, told);
  assert.ok(taken() > 3 && taken() < 15, String(taken()));
  client.destroy();
});

test('whoever does not read gets nothing more, and is dropped if that lasts', async () => {
  const { feed, add } = feeding(600);
  const [slow, brief] = [add(), add()];
  slow.writableNeedDrain = true;
  brief.writableNeedDrain = true;
  const { length } = slow.text;
  feed.tell('news', {});
  brief.writableNeedDrain = false;
  await until(() => feed.size === 1, 'the slow one to be dropped');
  assert.is(slow.text.length, length);
  assert.equal([slow.destroyed, brief.destroyed], [true, false]);
  assert.ok(brief.snapshots > 1);
  brief.destroy();
});

test.run();
