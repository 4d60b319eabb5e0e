/** The sending half of a channel, without a channel: what goes out, when, in which order, and what is left. */

import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  fixed,
  HEAVY,
  MAX_ITEMS,
  MAX_WAITING,
  Outbox,
  type Outgoing,
  type Port,
} from '#src/channel/outbox.js';
import { watch } from '../support/gate.js';
import { times } from '../support/helpers.js';

const KB = 1024;
const MB = 1024 * 1024;

/** Stands in for performance.now(): this process may lose its core for longer than what is asserted. */
class FakeClock implements Disposable {
  readonly #now = performance.now;
  /** ms */
  time = performance.now();

  constructor() {
    performance.now = () => this.time;
  }

  [Symbol.dispose](): void {
    performance.now = this.#now;
  }
}

/** A port that has written a message when the test says so. */
class FakePort<Entry = number> implements Port<Entry> {
  readonly batches: Entry[][] = [];
  /** Of each batch, whether it was one heavy item. */
  readonly heavy: boolean[] = [];
  /** Whether it has room for whatever comes. */
  takesMore = false;
  /** Whether it makes room when somebody waits for it. */
  flushes = true;
  /** Entries that it cannot write. */
  readonly unwritable = new Set<Entry>();
  readonly #underWay: (() => void)[] = [];

  write(batch: readonly Entry[], isHeavy: boolean, written: () => void): boolean {
    if (batch.some((entry) => this.unwritable.has(entry))) throw new RangeError('cannot be written');
    this.batches.push(structuredClone(batch) as Entry[]);
    this.heavy.push(isHeavy);
    if (!this.takesMore) this.#underWay.push(written);
    return this.takesMore;
  }

  flush(): boolean {
    if (this.flushes) this.#underWay.length = 0;
    return this.flushes;
  }

  get underWay(): number {
    return this.#underWay.length;
  }

  written(): void {
    this.#underWay.shift()?.();
  }

  /** Writes all that comes, until nothing comes any more. What cannot be written takes a turn of its own, without a message. */
  async writeAll(): Promise<void> {
    for (let idle = 0; idle < 3 + this.unwritable.size; idle++) {
      await turn();
      if (this.underWay === 0) continue;
      idle = 0;
      this.written();
    }
  }
}

/** An item whose caller may go before it is sent. */
class Item implements Outgoing<number> {
  readonly entry: number;
  readonly weight: number;
  wanted = true;
  departed = 0;
  failure: unknown;

  constructor(entry: number, weight = 64) {
    this.entry = entry;
    this.weight = weight;
  }

  get isVoid(): boolean {
    return !this.wanted;
  }

  depart(): number | undefined {
    if (!this.wanted) return undefined;
    this.departed++;
    return this.entry;
  }

  recall(): void {
    if (this.departed > 0) this.departed--;
  }

  fail(error: unknown): void {
    this.failure = error;
  }
}

function outbox(corked = false): { port: FakePort; box: Outbox<number> } {
  const port = new FakePort();
  return { port, box: new Outbox<number>(port, () => false, corked) };
}

test('what is pushed in one turn goes out in one message, in order', async () => {
  const { port, box } = outbox();
  for (const entry of [1, 2, 3]) assert.ok(box.push(fixed(entry)));
  await Promise.resolve();
  box.post(fixed(4));
  assert.equal(port.batches, []);
  await turn();
  assert.equal(port.batches, [[1, 2, 3, 4]]);
});

test('what is alone goes out at once, if the message before held one entry', async () => {
  const { port, box } = outbox();
  box.push(fixed(1), true);
  assert.equal(port.batches, [], 'nothing is known yet');
  await port.writeAll();
  box.push(fixed(2), true);
  assert.equal(port.batches, [[1], [2]]);
  box.push(fixed(3), true); // one message is under way
  assert.is(port.underWay, 1);
  box.post(fixed(4), true);
  await port.writeAll();
  assert.equal(port.batches, [[1], [2], [3, 4]]);
  box.post(fixed(5), true);
  assert.equal(port.batches.length, 3, 'the message before held two');
  await port.writeAll();
  box.post(fixed(6));
  assert.equal(port.batches.length, 4, 'not alone');
  await port.writeAll();
  assert.equal(port.batches.flat(), [1, 2, 3, 4, 5, 6]);
});

test('entries are joined where they can be', async () => {
  const port = new FakePort<number[]>();
  const sums = new Outbox<number[]>(port, (last, next) => next[0] !== 3 && last.push(...next) > 0, false);
  for (let entry = 1; entry <= 4; entry++) sums.push(fixed([entry]));
  await port.writeAll();
  sums.push(fixed([5]));
  sums.flushNow();
  assert.equal(port.batches, [
    [
      [1, 2],
      [3, 4],
    ],
    [[5]],
  ]);
});

test('a channel that has enough gets nothing until it has written, and then all that has come', async () => {
  const { port, box } = outbox();
  box.push(fixed(1));
  await turn();
  for (const entry of [2, 3]) {
    box.push(fixed(entry));
    await turn();
    await turn();
  }
  assert.equal(port.batches, [[1]]);
  port.written();
  await turn();
  assert.equal(port.batches, [[1], [2, 3]]);
  assert.is(port.underWay, 1);
});

test('a channel that takes more gets more, and nothing of it is waited for', async () => {
  const { port, box } = outbox();
  port.takesMore = true;
  for (const entry of [1, 2, 3]) {
    box.push(fixed(entry));
    await turn();
  }
  assert.equal(port.batches, [[1], [2], [3]]);
  await box.drained();
  port.takesMore = false;
  box.push(fixed(4));
  await turn();
  const drained = watch(box.drained());
  box.push(fixed(5));
  await turn();
  assert.equal(port.batches.length, 4);
  port.written();
  await turn();
  assert.not(drained.settled);
  port.written();
  await turn();
  assert.ok(drained.settled);
  assert.equal(port.batches, [[1], [2], [3], [4], [5]]);
});

test('in a long turn what waits can go out before its end', async () => {
  const { port, box } = outbox();
  port.takesMore = true;
  using clock = new FakeClock();
  box.push(fixed(1));
  box.push(fixed(2));
  box.hurry();
  assert.equal(port.batches, []);
  clock.time += 2; // a handler that computes
  box.push(fixed(3));
  box.hurry();
  assert.equal(port.batches, [[1, 2, 3]]);
  box.push(fixed(4));
  box.hurry();
  assert.equal(port.batches.length, 1, 'the wait begins anew');
  await turn();
  assert.equal(port.batches, [[1, 2, 3], [4]]);
});

test('a message is closed at its size, and the rest follows in order', async () => {
  const { port, box } = outbox();
  for (let entry = 0; entry < 64; entry++) box.push(fixed(entry, 2 * KB));
  box.push(fixed(64));
  await port.writeAll();
  const all = times(65, () => 0).map((_, i) => i);
  assert.equal(port.batches, [all.slice(0, 32), all.slice(32, 64), [64]]);
});

test('what is heavy is a message of its own, in its place', async () => {
  const { port, box } = outbox();
  port.takesMore = true;
  const weights = [64, HEAVY - 1, HEAVY, 64, 10 * MB, HEAVY, 64, 64];
  for (const [entry, weight] of weights.entries()) box.push(fixed(entry, weight));
  await turn();
  assert.equal(port.batches, [[0, 1], [2], [3], [4]], 'as much as goes out in a turn');
  await turn();
  assert.equal(port.batches.slice(4), [[5], [6, 7]]);
  assert.equal(port.heavy, [false, true, false, true, true, false]);
});

test('what waits is bounded; what must not be refused is not', async () => {
  const { port, box } = outbox();
  const half = MAX_WAITING / 2;
  assert.ok(box.push(fixed(1, half)));
  assert.ok(box.push(fixed(2, half)));
  assert.not(box.push(fixed(3, 1)));
  box.post(fixed(4));
  await port.writeAll();
  assert.equal(port.batches.flat(), [1, 2, 4]);
  assert.ok(box.push(fixed(5, half)), 'there is room again');
});

test('small items are bounded by their number, and those that became void make room', async () => {
  const { port, box } = outbox();
  const items = times(MAX_ITEMS, () => 0).map((_, i) => new Item(i));
  assert.ok(items.every((item) => box.push(item)));
  assert.not(box.push(fixed(0)));
  const [first] = items as [Item];
  first.wanted = false;
  box.voided(first);
  assert.ok(box.push(fixed(MAX_ITEMS)));
  assert.not(box.push(fixed(0)));
  await port.writeAll();
  assert.equal(
    port.batches.flat(),
    items.map(({ entry }) => entry + 1),
  );
});

test('it is overfull by what was not refused, by size or by number, and not while it is corked', async () => {
  for (const [count, weight] of [
    [4, MAX_WAITING / 4],
    [MAX_ITEMS, 1],
  ] as const) {
    const { port, box } = outbox(true);
    for (let entry = 0; entry < count; entry++) assert.ok(box.push(fixed(entry, weight)));
    box.post(fixed(-1, weight));
    assert.not(box.isOverfull, 'nobody could have read any of it');
    box.uncork();
    assert.ok(box.isOverfull);
    await turn();
    assert.not(box.isOverfull, 'a message is under way');
    await port.writeAll();
    assert.not(box.isOverfull);
  }
});

test('what is under way does not wait: a stopped reader costs one message more than the bound', async () => {
  const { port, box } = outbox();
  box.push(fixed(0, 2 * MB));
  await turn();
  let accepted = 0;
  while (box.push(fixed(accepted + 1, 2 * MB))) accepted++;
  assert.is(accepted, MAX_WAITING / (2 * MB));
  for (let turns = 0; turns < 10; turns++) await turn();
  assert.equal(port.batches, [[0]]);
});

test('an item above the bound passes an empty outbox, and no other one', async () => {
  const { port, box } = outbox();
  assert.ok(box.push(fixed(1, 2 * MAX_WAITING)));
  assert.not(box.push(fixed(2, 2 * MAX_WAITING)));
  assert.not(box.push(fixed(3)));
  await port.writeAll();
  assert.ok(box.push(fixed(4)));
  assert.not(box.push(fixed(5, 2 * MAX_WAITING)));
  await port.writeAll();
  assert.equal(port.batches.flat(), [1, 4]);
});

test('withdrawn items are skipped, and a message of nothing else is not sent', async () => {
  const { port, box } = outbox();
  const items = [1, 2, 3, 4].map((entry) => new Item(entry));
  for (const item of items) box.push(item);
  for (const i of [0, 2]) (items[i] as Item).wanted = false;
  await port.writeAll();
  assert.equal(port.batches, [[2, 4]]);
  const last = new Item(5);
  box.push(last);
  last.wanted = false;
  const drained = watch(box.drained());
  await port.writeAll();
  assert.equal(port.batches, [[2, 4]]);
  assert.ok(drained.settled);
});

test('a full outbox finds the room of items that became void', async () => {
  const { port, box } = outbox();
  const half = MAX_WAITING / 2;
  const [first, second] = [new Item(1, half), new Item(2, half)];
  assert.ok(box.push(first));
  assert.ok(box.push(second));
  assert.not(box.push(new Item(3, half)));
  first.wanted = false;
  box.voided(first);
  assert.ok(box.push(new Item(4, half)));
  assert.not(box.push(new Item(5, half)), 'no room is found twice');
  await port.writeAll();
  assert.equal(port.batches.flat(), [2, 4]);
});

test('an item departs once, as it goes out and not before', async () => {
  const { port, box } = outbox();
  const [first, second] = [new Item(1), new Item(2)];
  box.push(first);
  await turn();
  box.push(second);
  await turn();
  assert.equal([first.departed, second.departed], [1, 0]);
  await port.writeAll();
  assert.equal([first.departed, second.departed], [1, 1]);
});

test('an item that adds another one as it departs loses neither', async () => {
  const { port, box } = outbox();
  const adding: Outgoing<number> = {
    isVoid: false,
    weight: 64,
    recall() {},
    fail() {},
    depart: () => {
      box.post(fixed(2));
      return undefined;
    },
  };
  box.push(adding);
  box.push(fixed(1));
  await turn();
  box.push(fixed(3)); // while the other is under way
  await turn();
  await turn();
  assert.equal(port.batches, [[1, 2]]);
  await port.writeAll();
  assert.equal(port.batches, [[1, 2], [3]]);
});

test('a corked outbox keeps all until it is uncorked', async () => {
  const { port, box } = outbox(true);
  box.push(fixed(1));
  box.post(fixed(2));
  await port.writeAll();
  assert.equal(port.batches, []);
  box.uncork();
  box.uncork();
  await port.writeAll();
  assert.equal(port.batches, [[1, 2]]);
});

test('close gives back what did not go, in order, and takes nothing more', async () => {
  const { port, box } = outbox();
  const items = [1, 2, 3].map((entry) => new Item(entry));
  box.push(items[0] as Item);
  await turn();
  box.push(items[1] as Item);
  box.post(items[2] as Item);
  assert.equal(box.close(), items.slice(1));
  assert.equal(box.close(), []);
  assert.not(box.push(new Item(4)));
  box.post(new Item(5));
  port.written();
  await port.writeAll();
  assert.equal(port.batches, [[1]]);
  await box.drained();
});

test('drained waits for what is under way too, and ends with the channel', async () => {
  const { port, box } = outbox();
  await box.drained();
  box.push(fixed(1));
  const first = watch(box.drained());
  await turn();
  await turn();
  assert.not(first.settled, 'not written yet');
  port.written();
  await turn();
  assert.ok(first.settled);
  box.push(fixed(2));
  const second = watch(box.drained());
  await turn();
  box.close();
  await turn();
  assert.ok(second.settled);
});

test('flushNow sends at once all that waits', async () => {
  const { port, box } = outbox();
  box.flushNow();
  assert.equal(port.batches, []);
  box.push(fixed(1));
  await turn();
  box.push(fixed(2));
  box.push(fixed(3));
  box.flushNow();
  assert.equal(port.batches, [[1], [2, 3]]);
  await port.writeAll();
  assert.equal(port.batches, [[1], [2, 3]]);
});

test('flushNow sends as messages of the usual size, and gives up where the other end does not read', async () => {
  const { port, box } = outbox();
  for (let entry = 0; entry < 33; entry++) box.push(fixed(entry, 2 * KB));
  box.push(fixed(33, 10 * MB));
  box.flushNow();
  assert.equal(
    port.batches.map(({ length }) => length),
    [32, 1, 1],
  );
  port.flushes = false;
  box.push(fixed(34));
  box.flushNow();
  assert.is(port.batches.length, 3);
});

test('whoever waits for an overfull outbox is called once, when it has sent enough', async () => {
  const { port, box } = outbox();
  let relieved = 0;
  box.push(fixed(0));
  await turn();
  for (let entry = 1; entry <= 3; entry++) box.post(fixed(entry, MAX_WAITING / 2));
  assert.ok(box.isOverfull);
  box.whenRelieved(() => relieved++);
  await turn();
  assert.is(relieved, 0);
  await port.writeAll();
  assert.is(relieved, 1);
  box.whenRelieved(() => relieved++);
  assert.is(relieved, 2, 'at once where it is not overfull');
});

test('what cannot be written fails alone: its neighbours go out, each once and in order, and the channel goes on', async () => {
  const { port, box } = outbox();
  const items = [1, 2, 3, 4, 5].map((entry) => new Item(entry));
  for (const entry of [2, 5]) port.unwritable.add(entry);
  for (const item of items) box.push(item);
  await turn();
  box.push(fixed(6));
  await port.writeAll();
  assert.equal(port.batches, [[1], [3], [4], [6]]);
  assert.equal(
    items.map(({ departed, failure }) => [departed, (failure as Error | undefined)?.message]),
    [1, 2, 3, 4, 5].map((entry) => (entry % 3 === 2 ? [0, 'cannot be written'] : [1, undefined])),
  );
  await box.drained();
  for (const entry of [7, 8]) box.push(fixed(entry));
  await port.writeAll();
  assert.equal(port.batches.at(-1), [7, 8]);
});

test('an item that went out at once, from too deep a stack, is tried again in a turn of its own', async () => {
  const { port, box } = outbox();
  box.push(fixed(1));
  await port.writeAll();
  port.unwritable.add(2);
  const item = new Item(2);
  assert.ok(box.push(item, true));
  assert.equal([item.departed, item.failure], [0, undefined]);
  port.unwritable.clear();
  assert.ok(box.push(new Item(9), true));
  assert.equal(port.batches, [[1]], 'not from the stack of whoever comes next');
  await port.writeAll();
  assert.equal(port.batches, [[1], [2], [9]]);
  port.unwritable.add(3);
  let failed: unknown;
  box.push(
    fixed<number>(3, 64, (error) => {
      failed = error;
      box.post(fixed(4)); // an answer that cannot be written: its failure
    }),
  );
  await port.writeAll();
  assert.instance(failed, RangeError);
  assert.equal(port.batches, [[1], [2], [9], [4]]);
});

test('what could not be written waits again, within the bound', async () => {
  const { port, box } = outbox();
  const half = MAX_WAITING / 2;
  port.unwritable.add(1);
  for (const entry of [1, 2]) assert.ok(box.push(fixed(entry, half)));
  await turn();
  assert.not(box.push(fixed(3)));
  await port.writeAll();
  assert.ok(box.push(fixed(4)));
  await port.writeAll();
  assert.equal(port.batches, [[2], [4]]);
});

test('at the exit what cannot be written is left out', async () => {
  const { port, box } = outbox();
  port.unwritable.add(2);
  const items = [1, 2, 3].map((entry) => new Item(entry));
  for (const item of items) box.push(item);
  box.flushNow();
  assert.equal(port.batches, [[1], [3]]);
  assert.equal(
    items.map(({ departed, failure }) => [departed, failure instanceof RangeError]),
    [
      [1, false],
      [0, true],
      [1, false],
    ],
  );
});

test('whatever happens in whichever order, each item goes out once or is given back', async () => {
  const step = fc.oneof(
    fc.record({ push: fc.constantFrom(1, 64, MB, 40 * MB, 70 * MB) }),
    fc.record({ spoil: fc.nat({ max: 20 }) }),
    fc.record({ withdraw: fc.nat() }),
    fc.constant('turn' as const),
    fc.constant('written' as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.boolean(), async (steps, closes) => {
      const { port, box } = outbox();
      const taken: Item[] = [];
      for (const each of steps) {
        if (each === 'turn') await turn();
        else if (each === 'written') port.written();
        else if ('spoil' in each) port.unwritable.add(each.spoil);
        else if ('push' in each) {
          const item = new Item(taken.length, each.push);
          if (box.push(item)) taken.push(item);
        } else {
          const item = taken[each.withdraw % taken.length];
          if (item?.departed === 0) item.wanted = false;
        }
        assert.ok(port.underWay <= 1);
      }
      if (!closes) await port.writeAll();
      const left = box.close().filter((item): item is Item => item instanceof Item);
      const wanted = (item: Item): boolean => item.wanted && item.failure === undefined;
      const out = port.batches.flat();
      assert.equal(
        [...out, ...left.filter(wanted).map(({ entry }) => entry)],
        taken.filter(wanted).map(({ entry }) => entry),
      );
      assert.ok(taken.every(({ departed }) => departed <= 1));
      if (!closes) assert.equal(left, []);
    }),
    { numRuns: 300 },
  );
});

test.run();
