/** The table of `ballermann status`: readable at 80 columns whatever the figures are. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { age, bytes, count, type Look, type Sample, statusLines } from '#src/cli/status-table.js';
import type { PoolMetrics, ReplicaMetrics } from '#src/primary/metrics/supervisor-metrics.js';

const PIPED: Look = { isLive: false, hasColour: false };
const LIVE: Look = { isLive: true, hasColour: false };

const replica: ReplicaMetrics = {
  index: 0,
  pid: 4_711,
  incarnation: 1,
  state: 'up',
  blocked: false,
  uptime: 90_000,
  restarts: { crash: 1, exit: 0, signal: 2, hung: 0, startFailed: 0, recycle: 40, reload: 50, requested: 60 },
  lastExit: undefined,
  rss: 61 * 2 ** 20,
  eventLoopUtilization: 0.5,
  busyTime: 0,
  unfinished: 2,
  taken: 100,
  running: 1,
  requests: 1_000,
  accepted: 10,
};
const pool: PoolMetrics = {
  name: 'web',
  alive: 2,
  original: 3,
  paused: false,
  sent: 12,
  redirected: 0,
  held: 4,
  lostCasts: 0,
  transactions: 0,
  handOuts: 0,
  windows: { count: 1, open: false, totalDuration: 1_500, lastDuration: 1_500 },
  latency: { count: 0, sum: 0, buckets: [] },
};

function sample(
  replicas: Partial<ReplicaMetrics>[],
  pools: Partial<PoolMetrics>[],
  at = 0,
  name = 'web',
): Sample {
  return {
    at,
    status: {
      version: '1.2.3',
      pid: 4_700,
      script: '/srv/web/server.js',
      name,
      state: 'running',
      uptime: 3_600_000,
      replicas: replicas.map((part, index) => ({ ...replica, index, ...part })),
      pools: pools.map((part) => ({ ...pool, ...part })),
      reloads: { succeeded: 0, failed: 0, running: false, lastDuration: undefined },
      late: 0,
      malformed: 0,
    },
  };
}

test('once: what was done ever, restarts that nobody asked for, no bars', () => {
  assert.equal(statusLines(sample([{}], [{}]), undefined, PIPED), [
    'web  running  up 1h0m  pid 4700  ballermann 1.2.3',
    '/srv/web/server.js',
    '',
    '  #     pid state          up util     rss  open  requests restarts',
    '  0    4711 up          1m30s  50%   61 MB     3      1100        3',
    '',
    'pool                         alive      sent   held  windows paused for',
    'web                            2/3        12      4        1    1500 ms',
  ]);
});

test('live: rates since the sample before, bars, a pool that is paused', () => {
  const before = sample([{}], [{}], 0);
  const now = sample([{ requests: 1_600, taken: 150 }, {}], [{ paused: true }], 500);
  const lines = statusLines(now, before, LIVE);
  assert.match(lines[3] as string, /req\/s/);
  assert.is(lines[4], '  0    4711 up          1m30s ████····  50%   61 MB     3      1300        3');
  assert.match(lines[5] as string, / - {8}3$|-\s+3$/, 'a replica that was not there before has no rate');
  assert.match(lines.at(-1) as string, /PAUSED$/);
});

test('no line is wider than 80 columns, and columns stay below their titles', () => {
  const large: Partial<ReplicaMetrics> = {
    pid: 4_194_304,
    state: 'restarting',
    uptime: 1e12,
    rss: 2 ** 44,
    eventLoopUtilization: 1,
    unfinished: 1e7,
    requests: 1e15,
    restarts: { ...replica.restarts, crash: 1e9 },
  };
  const wide = sample(
    [large, { ...large, state: 'up' }],
    [{ name: 'p'.repeat(120), sent: 1e12, held: 1e9, alive: 1_024, original: 1_024, paused: true }],
  );
  for (const look of [PIPED, LIVE]) {
    const lines = statusLines(wide, sample([{}], [{}], -1_000), look);
    for (const line of lines) assert.ok(line.length <= 80, `${line.length}: ${line}`);
    assert.is(lines[4]?.length, lines[3]?.length);
  }
});

test('a name cannot write to the terminal', () => {
  const lines = statusLines(
    sample([], [{ name: 'a\x1b[2Jb\n' }], 0, 'x\x1b]0;y\x07\u202e'),
    undefined,
    PIPED,
  );
  assert.not.match(lines.join(''), /[\p{Cc}\p{Cf}]/u);
  assert.match(lines.join(''), /a\?\[2Jb\?/);
});

test('with more replicas than rows, the rest is counted', () => {
  const lines = statusLines(sample(Array(50).fill({}), [{}]), undefined, { ...LIVE, rows: 20 });
  assert.is(lines.length, 20);
  assert.ok(lines.includes('… and 38 more replicas'), lines.join('\n'));
});

test('colours are there only where they are asked for', () => {
  const coloured = statusLines(sample([{}], [{}]), undefined, { isLive: true, hasColour: true }).join('\n');
  assert.match(coloured, /\p{Cc}\[32m/u);
  assert.not.match(statusLines(sample([{}], [{}]), undefined, LIVE).join('\n'), /\p{Cc}\[/u);
});

test('times, sizes and counts keep to their columns', () => {
  assert.equal([0, 59_999, 60_000, 3_661_000, 86_400_000 * 400].map(age), [
    '0s',
    '59s',
    '1m0s',
    '1h1m',
    '400d',
  ]);
  assert.equal([0, 2 ** 20, 999 * 2 ** 20, 2 ** 34].map(bytes), ['0.0 MB', '1.0 MB', '999 MB', '16 GB']);
  assert.equal([0, 99_999, 100_000, 123_456_789, 1e13].map(count), ['0', '99999', '100k', '123M', '10T']);
});

test.run();
