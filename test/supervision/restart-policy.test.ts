/** The restart policy alone: which exits bring a restart, how many are too many, how long each waits. */

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  Backoff,
  haveAllFailed,
  RestartIntensity,
  Streak,
  shouldRestart,
} from '#src/primary/supervision/restart-policy.js';

const codes = fc.oneof(fc.constant(null), fc.integer({ min: 0, max: 255 }));

test('permanent restarts after every exit, temporary after none', () => {
  fc.assert(
    fc.property(codes, (code) => {
      assert.is(shouldRestart('permanent', code), true);
      assert.is(shouldRestart('temporary', code), false);
    }),
  );
});

test('transient restarts after every exit but code 0', () => {
  fc.assert(
    fc.property(codes, (code) => {
      assert.is(shouldRestart('transient', code), code !== 0);
    }),
  );
});

/** Times of restarts, as the gaps between them. */
const gaps = fc.array(fc.oneof(fc.constant(0), fc.nat(50), fc.nat(5_000)), { maxLength: 100 });

test('the intensity is exceeded by just those restarts that have too many others within the period', () => {
  fc.assert(
    fc.property(fc.nat(10), fc.integer({ min: 0, max: 2_000 }), gaps, (intensity, period, waits) => {
      const counted = new RestartIntensity(intensity, period);
      const times: number[] = [];
      let now = 1_000;
      for (const wait of waits) {
        now += wait;
        times.push(now);
        const recent = times.filter((time) => now - time <= period).length;
        assert.is(counted.exceededBy(now), recent > intensity);
      }
    }),
  );
});

test('an intensity of 0 allows no restart, an infinite one any number', () => {
  assert.is(new RestartIntensity(0, 1_000).exceededBy(0), true);
  const endless = new RestartIntensity(Number.POSITIVE_INFINITY, 1_000);
  for (let i = 0; i < 10_000; i++) assert.is(endless.exceededBy(0), false);
});

const options = fc
  .tuple(fc.integer({ min: 0, max: 10_000 }), fc.integer({ min: 0, max: 10_000 }))
  .map(([initial, more]) => ({ initial, max: initial + more }));

/** What Math.random may give. */
const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('delays never pass max, and are at least half of the doubling row, whatever chance does', () => {
  fc.assert(
    fc.property(options, fc.array(randoms, { minLength: 1, maxLength: 1_100 }), (backoff, chances) => {
      let drawn = 0;
      const row = new Backoff(backoff, 1, () => chances[drawn++] as number);
      for (let i = 0; i < chances.length; i++) {
        const nominal = i === 0 ? 0 : Math.min(backoff.max, backoff.initial * 2 ** (i - 1));
        const delay = row.next(0);
        assert.ok(delay <= nominal, `${delay} is over ${nominal}`);
        assert.ok(delay <= backoff.max);
        assert.ok(delay >= nominal / 2, `${delay} is under half of ${nominal}`);
      }
    }),
  );
});

test('the jitter reaches both ends, so that replicas that died together come back apart', () => {
  const delay = (random: number): number => {
    const row = new Backoff({ initial: 100, max: 100 }, 1, () => random);
    row.next(0);
    return row.next(0);
  };
  assert.is(delay(0), 100);
  assert.is(delay(1), 50);
  const own = new Backoff({ initial: 100, max: 100 }, 1);
  own.next(0);
  const delays = new Set(Array.from({ length: 20 }, () => own.next(0)));
  assert.ok(delays.size > 1, 'chance has a say by default');
});

test('a healthy life starts the row anew, and nothing else does', () => {
  fc.assert(
    fc.property(
      options,
      fc.integer({ min: 1, max: 5_000 }),
      fc.array(fc.double({ min: 0, max: 10_000, noNaN: true }), { minLength: 1, maxLength: 60 }),
      (backoff, healthy, lives) => {
        const row = new Backoff(backoff, healthy, () => 0);
        let before = 0;
        for (const lived of lives) {
          if (lived >= healthy) before = 0;
          assert.is(
            row.next(lived),
            before === 0 ? 0 : Math.min(backoff.max, backoff.initial * 2 ** (before - 1)),
          );
          before++;
        }
      },
    ),
  );
});

test('a life of just the healthy length counts as healthy, one a bit shorter does not', () => {
  const row = new Backoff({ initial: 100, max: 800 }, 1_000, () => 0);
  assert.equal([row.next(0), row.next(999.9), row.next(999.9)], [0, 100, 200]);
  assert.is(row.next(1_000), 0);
  assert.is(row.next(0), 100);
});

test('a streak counts starts that did not get ready and short lives, and ends with a long one', () => {
  const lives = fc.array(fc.option(fc.integer({ min: 0, max: 200 }), { nil: undefined }), { maxLength: 50 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 100 }), lives, (healthyAfter, all) => {
      const streak = new Streak(healthyAfter);
      const row: (number | undefined)[] = [];
      for (const lived of all) {
        if (lived !== undefined && lived >= healthyAfter) row.length = 0;
        else row.push(lived);
        streak.ended(lived);
        assert.is(streak.failures, row.length);
        const ready = row.findLastIndex((life) => life !== undefined);
        assert.is(streak.failedStarts, row.length - 1 - ready);
      }
    }),
  );
});

test('all have failed when none is healthy and each has failed ten times in a row', () => {
  const child = fc.record({ failures: fc.nat(12), isHealthy: fc.boolean() });
  fc.assert(
    fc.property(fc.array(child, { minLength: 1, maxLength: 5 }), (children) => {
      const mayStillDo = children.some(({ failures, isHealthy }) => isHealthy || failures < 10);
      assert.is(haveAllFailed(children), !mayStillDo);
    }),
  );
});

test.run();
