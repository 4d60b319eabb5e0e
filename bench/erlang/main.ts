/** The Erlang way of handing out pids beside ours, in one run: a gen_server with a private ets table, 8 children. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Balancer, balance, pid, supervise } from 'ballermann';
import { type Spread, spread, threeDigits } from '../figures.js';
import { machineLine } from '../machine.js';
import { table } from '../tables.js';

const CHILDREN = 8;
const ROUNDS = 7;
/** Divisible by the children, so that each pid must come equally often. */
const ERLANG_CALLS = 400_000;
const OWN_CALLS = 8_000_000;

const { values } = parseArgs({ options: { markdown: { type: 'boolean', default: false } } });
if (spawnSync('erl', ['-version']).error !== undefined) {
  console.log(
    'bench: there is no erl here. To compare with Erlang install it, on Debian: apt-get install erlang-base',
  );
  process.exit(0);
}
const supervisor = await supervise({
  exec: new URL('../calls/replica.js', import.meta.url),
  replicas: CHILDREN,
});
try {
  const pool = await balance(supervisor, 'bench');
  const erlang = spread(inErlang());
  const rows = [
    row('Erlang: gen_server:call, ets', erlang, erlang),
    row('pid(name)', spread(own(pool, () => pid('bench'))), erlang),
    row('pool.pid()', spread(own(pool, () => pool.pid())), erlang),
  ];
  console.log(`${machineLine()}; ${CHILDREN} children; medians of ${ROUNDS} runs\n`);
  console.log(table(['a pid, in turn', 'ns', 'lowest to highest', 'Erlang takes'], rows, values.markdown));
} finally {
  await supervisor.close();
}

/** ns a pid in each run. The Erlang side checks its own answers and fails where a pid came more often than another. */
function inErlang(): number[] {
  const source = fileURLToPath(new URL('../../../bench/erlang/round_robin.erl', import.meta.url));
  const directory = mkdtempSync(join(tmpdir(), 'round-robin-'));
  try {
    run('erlc', ['-o', directory, source]);
    const counts = [CHILDREN, ERLANG_CALLS, ROUNDS].map(String);
    const output = run('erl', ['-noshell', '-pa', directory, '-s', 'round_robin', 'main', ...counts]);
    const figures = output.trim().split('\n').map(Number);
    if (figures.length === ROUNDS && figures.every((ns) => ns > 0)) return figures;
    throw new Error(`unexpected output of the Erlang side: ${output}`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** ns a pid in each run. @throws Error where a pid came more often than another. */
function own(pool: Balancer, take: () => number): number[] {
  const pids = pool.pids();
  const figures: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    let sum = 0;
    const begin = performance.now();
    for (let i = 0; i < OWN_CALLS; i++) sum += take();
    const ns = ((performance.now() - begin) * 1e6) / OWN_CALLS;
    const expected = pids.reduce((all, one) => all + one, 0) * (OWN_CALLS / CHILDREN);
    if (sum !== expected) throw new Error(`the pids add up to ${sum}, not ${expected}`);
    if (round > 0) figures.push(ns); // the first one warms up
  }
  const counts = new Map(pids.map((one) => [one, 0]));
  for (let i = 0; i < 1000 * CHILDREN; i++) {
    const one = take();
    counts.set(one, (counts.get(one) ?? 0) + 1);
  }
  for (const [one, count] of counts) {
    if (count !== 1000) throw new Error(`pid ${one} came ${count} times of 1,000`);
  }
  return figures;
}

function row(name: string, { median, min, max }: Spread, erlang: Spread): string[] {
  const range = `${threeDigits(min)} to ${threeDigits(max)}`;
  return [name, threeDigits(median), range, `${threeDigits(erlang.median / median)} x as long`];
}

function run(command: string, args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000 });
  if (status === 0) return stdout;
  throw new Error(`${command} failed: ${error?.message ?? stdout + stderr}`);
}
