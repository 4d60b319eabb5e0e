/** What is unfinished, by its id: as a Map, whatever comes and goes. */

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ById } from '#src/channel/by-id.js';

interface Item {
  readonly id: number;
}

/** Adds so many, or finishes one of those that are there: the share says which, from the oldest to the newest. */
const step = fc.oneof(
  fc.record({ add: fc.integer({ min: 1, max: 200 }), gap: fc.nat(70) }),
  fc.record({ finish: fc.integer({ min: 1, max: 300 }), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
);

function same(items: ById<Item>, model: Map<number, Item>, lastId: number): void {
  assert.is(items.size, model.size);
  for (let id = 0; id <= lastId + 1; id++) assert.is(items.get(id), model.get(id));
}

test('holds what was added until it is deleted, and gives it out by age', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const items = new ById<Item>();
      const model = new Map<number, Item>();
      let lastId = 0;
      for (const { add = 0, gap = 0, finish = 0, share = 0 } of steps as Record<string, number>[]) {
        lastId += gap as number;
        for (let i = 0; i < (add as number); i++) {
          const item = { id: ++lastId };
          items.add(item);
          model.set(item.id, item);
        }
        for (let i = 0; i < (finish as number) && model.size > 0; i++) {
          const item = [...model.values()][Math.floor((share as number) * (model.size - 1))] as Item;
          assert.ok(items.delete(item));
          assert.not(items.delete(item), 'only once');
          model.delete(item.id);
        }
        same(items, model, lastId);
      }
      assert.equal(items.takeAll(), [...model.values()]);
      same(items, new Map(), lastId);
    }),
    { numRuns: 200 },
  );
});

test('one that takes long stays, however many come and go', () => {
  const items = new ById<Item>();
  const slow = { id: 1 };
  items.add(slow);
  for (let id = 2; id < 100_000; id++) {
    const item = { id };
    items.add(item);
    assert.ok(items.has(slow));
    items.delete(item);
  }
  assert.is(items.get(1), slow);
  assert.is(items.size, 1);
  assert.equal(items.takeAll(), [slow]);
});

test('ids that nobody gave are of nothing', () => {
  const items = new ById<Item>();
  const ids = [0, -1, 0.5, 1.5, 65, 2 ** 32 + 1, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY];
  items.add({ id: 1 });
  for (const id of ids) assert.is(items.get(id), undefined, String(id));
  assert.not(items.delete({ id: 1 }), 'another of that id');
});

test('ids beyond 2^32 have places of their own', () => {
  const items = new ById<Item>();
  const all = Array.from({ length: 1_000 }, (_, i) => ({ id: 2 ** 52 + i }));
  for (const item of all) items.add(item);
  for (const item of all) assert.is(items.get(item.id), item);
  assert.equal(items.takeAll(), all);
});

test.run();
