/**
 * The wall clock jumps, as after an NTP step or by somebody's hand: nothing ends early or late. With libfaketime (of
 * Debian's package faketime), which shifts the wall clock and leaves the monotonic one alone.
 */

import { execFile } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

/** Debian keeps it in a folder named after the machine. */
const library = ((): string | undefined => {
  if (process.platform !== 'linux') return undefined;
  const folders = [
    '/usr/lib',
    '/usr/local/lib',
    ...readdirSync('/usr/lib').map((name) => join('/usr/lib', name)),
  ];
  return folders.map((folder) => join(folder, 'faketime/libfaketime.so.1')).find((path) => existsSync(path));
})();
if (library === undefined) {
  const text = 'libfaketime is not installed (Debian: package faketime)';
  if (process.env['CI']) throw new Error(text);
  console.log(`${text}: the test is skipped`);
}

interface Outcome {
  value?: unknown;
  code?: string;
  ms: number;
}

interface Story {
  jumps: number[];
  timeouts: Outcome[];
  answers: Outcome[];
  insideAfter: number;
  windows: Outcome[];
  restarts: { restartIn: number; ms: number }[];
  told: string[];
}

const GIVEN = { timeout: 300, wait: 400, backoff: 200 };

/** What a busy machine may add. An hour it does not. */
const LATE = 10_000;

/** Each timer of Node may fire up to a millisecond early, by its clock of whole milliseconds; some here come in a row. */
const EARLY = 10;

function comesAfter(ms: number, { ms: measured }: { ms: number }, what: string): void {
  assert.ok(measured >= ms - EARLY && measured < ms + LATE, `${what}: after ${measured} ms instead of ${ms}`);
}

async function story(): Promise<Story> {
  using folder = new Folder();
  const offset = folder.at('offset');
  writeFileSync(offset, '+0h');
  const args = [fileURLToPath(fixture('clock.mjs')), offset, JSON.stringify(GIVEN)];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    env: {
      ...process.env,
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: offset,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    timeout: 45_000,
    killSignal: 'SIGKILL',
  });
  return JSON.parse(stdout);
}

(library === undefined ? test.skip : test)(
  'the wall clock jumps by hours amid calls, windows and restarts: nothing ends early or late',
  async () => {
    const { jumps, timeouts, answers, insideAfter, windows, restarts, told } = await story();
    for (const by of [-3, -1, 1, 2])
      assert.ok(jumps.includes(by), `the clock has jumped by ${by} hours: ${jumps}`);

    for (const outcome of timeouts) {
      assert.is(outcome.code, 'ERR_TIMEOUT');
      comesAfter(GIVEN.timeout, outcome, 'the time limit of a call');
    }
    for (const outcome of answers) {
      assert.type(outcome.value, 'number', `a call is answered: ${outcome.code}`);
      comesAfter(GIVEN.wait, outcome, 'an answer');
    }

    comesAfter(GIVEN.wait, { ms: insideAfter }, 'the wait of a window');
    const end = GIVEN.wait + 2 * GIVEN.timeout;
    const [call, impatientCall, transaction, impatientTransaction] = windows as [
      Outcome,
      Outcome,
      Outcome,
      Outcome,
    ];
    assert.is((call.value as { echo: string }).echo, 'held');
    assert.is(transaction.value, 'held');
    for (const outcome of [call, transaction])
      comesAfter(end, outcome, 'what waits for the end of the window');
    for (const outcome of [impatientCall, impatientTransaction]) {
      assert.is(outcome.code, 'ERR_TIMEOUT');
      comesAfter(GIVEN.timeout, outcome, 'the time limit of what a window holds');
    }

    assert.is(restarts[0]?.restartIn, 0);
    for (const restart of restarts.slice(1)) {
      assert.ok(restart.restartIn >= GIVEN.backoff / 2 && restart.restartIn <= GIVEN.backoff);
      comesAfter(restart.restartIn, restart, 'a restart');
    }
    assert.equal(told, ['gaveUp'], 'nobody is blocked, hung or too old; too many restarts are too many');
  },
);

test.run();
