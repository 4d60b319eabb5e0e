/** How long a loop has been stuck, and how busy it is, from looks at memory that may hold anything. No processes. */

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Utilization } from '#src/memory/utilization.js';
import { Liveness, ObservedTime } from '#src/primary/liveness/liveness.js';
import type { Sight } from '#src/primary/replicas/replica-process.js';

const MS = 1_000_000n; // ns

/** In its poll, with nothing to do. */
const IDLE: Sight = { busySince: 0n, idle: -5n, isOwed: false, taken: 0, heard: 0 };

/** Looks every 10 ms, beginning at 1 s. */
class Looks {
  readonly life = new Liveness();
  #now = 1000n * MS;

  /** @returns [stuck, silent]. */
  see(sight: Partial<Sight>, count = 1, watched = 10): [number, number] {
    for (let i = 0; i < count; i++) {
      this.#now += 10n * MS;
      this.life.look({ ...IDLE, ...sight }, watched, this.#now);
    }
    return [this.life.stuck, this.life.silent];
  }
}

test('a loop that waits for work is not stuck, however long', () => {
  assert.equal(new Looks().see({}, 100), [0, 0]);
});

test('a turn counts from its start, which lies after the look before', () => {
  const looks = new Looks();
  looks.see({}, 2);
  assert.equal(looks.see({ busySince: 1027n * MS, idle: 7n }), [3, 3]);
  assert.equal(looks.see({ busySince: 1027n * MS, idle: 7n }, 4), [43, 43]);
  assert.equal(looks.see({ busySince: 1075n * MS, idle: 8n }), [5, 5], 'another turn');
  assert.equal(looks.see({}), [0, 0]);
});

test('a clock that says the past or the future counts no more than was watched', () => {
  for (const busySince of [1n, -1n, -(2n ** 63n), 2n ** 63n - 1n, 999_999n * MS]) {
    const looks = new Looks();
    looks.see({});
    const [first] = looks.see({ busySince });
    assert.ok(first === 0 || first === 10, `${first}`);
    assert.is(looks.see({ busySince }, 3)[0], first + 30);
  }
});

test('looks that do not count add nothing', () => {
  const looks = new Looks();
  looks.see({});
  looks.see({ busySince: 1n }, 2);
  assert.equal(looks.see({ busySince: 1n }, 50, 0), [20, 20]);
});

test('messages that a waiting loop does not take: stuck, until it moves, takes one or says something', () => {
  const looks = new Looks();
  const owed = { isOwed: true, taken: 3, heard: 2 };
  looks.see({});
  assert.equal(looks.see(owed), [0, 0], 'they may have been sent just now');
  assert.equal(looks.see(owed, 5), [50, 50]);
  for (const sign of [{ idle: -6n }, { taken: 4 }, { heard: 3 }, { isOwed: false }]) {
    looks.see(owed, 5);
    assert.equal(looks.see({ ...owed, ...sign }), [0, 0], JSON.stringify(Object.keys(sign)));
  }
});

test('a busy loop that still says something is stuck, but not silent', () => {
  const looks = new Looks();
  const busy = { busySince: 1n };
  looks.see(busy, 10);
  assert.equal(looks.see({ ...busy, heard: 1 }), [110, 0]);
  assert.equal(looks.see({ ...busy, heard: 1 }, 3), [140, 30]);
});

test('of the time between looks, what the observer has slept through does not count', () => {
  const observed = new ObservedTime(10, 0n);
  assert.is(observed.passed(10n * MS), 10);
  assert.is(observed.passed(25n * MS), 15);
  assert.is(observed.passed(45n * MS), 20);
  assert.is(observed.passed(4045n * MS), 0, 'late');
  assert.is(observed.passed(4055n * MS), 10);
  assert.is(observed.passed(8055n * MS), 0, 'late again');
  assert.is(observed.passed(9055n * MS), 20, 'always late: then it counts, but not whole');
  assert.is(observed.passed(9060n * MS), 5);
});

const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

test('whatever is seen, nothing but times come of it, and never more than was watched', () => {
  const sight = fc.record({
    busySince: fc.oneof(long, fc.constantFrom(0n, 7n)),
    idle: fc.oneof(long, fc.constant(1n)),
    isOwed: fc.boolean(),
    taken: fc.constantFrom(0, 1),
    heard: fc.constantFrom(0, 1),
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(sight, fc.nat(100))), (looks) => {
      const life = new Liveness();
      let sum = 0;
      for (const [seen, watched] of looks) {
        life.look(seen, watched, 5000n * MS);
        sum += watched;
        assert.ok(life.stuck >= 0 && life.stuck <= sum, `${life.stuck}`);
        assert.ok(life.silent >= 0 && life.silent <= life.stuck, `${life.silent}`);
      }
    }),
  );
});

const S = 1000n * MS;

test('utilization: the part of the time in which the loop did not wait', () => {
  const use = new Utilization(0n, 10n * S);
  assert.is(use.look(0n, 10n * S), 0, 'no time has passed');
  assert.is(use.look(0n, 11n * S), 1);
  // In its poll since 11 s, with nothing waited before.
  assert.is(use.look(-11n * S, 11n * S + 500n * MS), 1 - 0.5 / 1.5);
  assert.is(use.look(-11n * S, 13n * S), 0);
  assert.is(use.look(2n * S, 14n * S), 1, 'since the look of a second ago');
  assert.is(use.look(2n * S, 14n * S), 1, 'looking again changes nothing');
  assert.is(use.look(2n * S + 500n * MS, 14n * S + 500n * MS), 1 - 0.5 / 1.5, 'nor does looking often');
});

test('utilization: 0 to 1, whatever the memory says', () => {
  fc.assert(
    fc.property(long, fc.array(fc.tuple(long, fc.bigInt({ min: 0n, max: 3n * S }))), (first, looks) => {
      let now = 10n * S;
      const use = new Utilization(first, now);
      for (const [idle, passed] of looks) {
        now += passed;
        const value = use.look(idle, now);
        assert.ok(value >= 0 && value <= 1, `${value}`);
      }
    }),
  );
});

test.run();
