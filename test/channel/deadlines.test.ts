/** Time limits behind one coarse timer: each fires once, never early, and never when it was cleared. */

import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clearLimit, type Limit, setLimit } from '#src/channel/deadlines.js';
import { times, until } from '../support/helpers.js';

/** A limit that notes when it fired. */
class Alarm {
  readonly due: number;
  readonly firedAt: number[] = [];
  cleared = false;
  readonly #limit: Limit;

  constructor(ms: number, expire: () => void = () => {}) {
    this.due = performance.now() + ms;
    this.#limit = setLimit(
      {
        expire: () => {
          this.firedAt.push(performance.now());
          expire();
        },
      },
      ms,
    );
  }

  clear(): void {
    this.cleared = true;
    clearLimit(this.#limit);
  }
}

async function allFired(alarms: readonly Alarm[]): Promise<void> {
  await until(
    () => alarms.every(({ cleared, firedAt }) => cleared || firedAt.length > 0),
    'every limit to fire',
  );
  await fired(200); // whatever fires twice, or although cleared, has had its time
}

/** Resolves when a limit of its own has fired, and so every earlier one that was as long. */
function fired(ms: number): Promise<void> {
  return new Promise((resolve) => new Alarm(ms, resolve));
}

function check(alarms: readonly Alarm[]): void {
  for (const { cleared, due, firedAt } of alarms) {
    assert.is(firedAt.length, cleared ? 0 : 1);
    for (const at of firedAt) assert.ok(at >= due, `${due - at} ms early`);
  }
}

test('thousands of limits of mixed lengths fire once each, none early', async () => {
  const lengths = [0, 0.5, 1, 7, 24.9, 25, 25.1, 50, 60, 99, 100, 101, 150];
  const alarms = times(5_000, () => 0).map((_, i) => new Alarm(lengths[i % lengths.length] as number));
  await allFired(alarms);
  check(alarms);
});

test('limits that are set while others run fire once each, none early', async () => {
  const alarms: Alarm[] = [];
  for (let round = 0; round < 20; round++) {
    for (let ms = 100; ms >= 0; ms -= 10) alarms.push(new Alarm(ms));
    await sleep(7);
  }
  await allFired(alarms);
  check(alarms);
});

test('a cleared limit never fires, and its neighbours do', async () => {
  const alarms = times(999, () => new Alarm(40));
  for (let i = 0; i < alarms.length; i += 3) alarms[i]?.clear();
  await allFired(alarms);
  check(alarms);
});

test('clearing twice, or after the end, changes nothing', async () => {
  const alarms = times(5, () => new Alarm(20));
  const [first, second, third] = alarms;
  second?.clear();
  second?.clear();
  await allFired(alarms);
  first?.clear();
  third?.clear();
  const others = times(5, () => new Alarm(20));
  second?.clear(); // no longer in the list that the others are in
  await allFired(others);
  check(others);
  assert.equal(
    alarms.map(({ firedAt }) => firedAt.length),
    [1, 0, 1, 1, 1],
  );
});

test('a limit may set another one as it fires, and clear its neighbour', async () => {
  let rounds = 0;
  const alarms: Alarm[] = [];
  const again = (): void => {
    if (++rounds < 10) alarms.push(new Alarm(rounds % 2 === 0 ? 0 : 30, again));
  };
  const neighbour: { alarm?: Alarm } = {};
  alarms.push(new Alarm(30, again), new Alarm(30, () => neighbour.alarm?.clear()));
  neighbour.alarm = new Alarm(30);
  alarms.push(neighbour.alarm);
  await until(() => rounds === 10, 'ten limits in a row');
  await allFired(alarms);
  check(alarms);
});

test('any mix of setting and clearing leaves each limit with its own end', async () => {
  const step = fc.record({ ms: fc.integer({ min: 0, max: 80 }), clear: fc.option(fc.nat()) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 200 }), async (steps) => {
      const alarms: Alarm[] = [];
      for (const { ms, clear } of steps) {
        alarms.push(new Alarm(ms));
        if (clear !== null) alarms[clear % alarms.length]?.clear();
      }
      await allFired(alarms);
      check(alarms);
    }),
    { numRuns: 6 },
  );
});

test.run();
