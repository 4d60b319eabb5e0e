/**
 * What happens to calls and memory as something grows: replicas, pools, calls in flight, the size of a message. Each
 * point is measured in a primary of its own, several times, in an order that changes.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { answerOf } from '../calls/flat-out.js';
import { options, progress } from '../command.js';
import { shuffled, spread, threeDigits } from '../figures.js';
import { machine, machineLine } from '../machine.js';
import { table } from '../tables.js';
import type { Order } from './host.js';
import { allSeries, type Point, type Series, type Setup } from './series.js';

const { quick, markdown, only } = options('bench:growth');
const rounds = quick ? 1 : 3;
const effort = quick ? { leadIn: 100, ms: 200 } : { leadIn: 500, ms: 700 };

export interface GrowthResult {
  readonly growing: Series['growing'];
  readonly title: string;
  readonly points: readonly (Point & { readonly x: number })[];
}

const chosen = allSeries.filter(({ growing }) => only === undefined || only.includes(growing));
console.log(`${machineLine()}; medians of ${rounds} runs`);
const results: GrowthResult[] = [];
for (const series of chosen) {
  const result = await measure(series);
  results.push(result);
  console.log(`\n${show(result)}`);
}
if (only === undefined) {
  const file = new URL('../../../bench/results-growth.json', import.meta.url);
  writeFileSync(file, `${JSON.stringify({ ...machine, rounds, ...effort, results }, undefined, 1)}\n`);
}

async function measure({ growing, title, xs, setup }: Series): Promise<GrowthResult> {
  const runs = xs.map((x) => ({ x, points: [] as Point[] }));
  for (let round = 0; round < rounds; round++) {
    for (const { x, points } of shuffled(runs)) {
      progress(`${growing} ${x}, run ${round + 1} of ${rounds}`);
      points.push(await point(setup(x)));
    }
  }
  progress('');
  return { growing, title, points: runs.map(({ x, points }) => ({ x, ...medians(points) })) };
}

async function point(setup: Setup): Promise<Point> {
  const order: Order = { setup, ...effort };
  const host = fork(fileURLToPath(new URL('./host.js', import.meta.url)), [JSON.stringify(order)]);
  const gone = once(host, 'exit');
  const answer = await answerOf<Point>(host);
  host.disconnect();
  await gone;
  return answer;
}

function medians(points: readonly Point[]): Point {
  const of = (field: keyof Point): number => spread(points.map((one) => one[field])).median;
  return {
    perSecond: of('perSecond'),
    cpu: of('cpu'),
    startMs: of('startMs'),
    primaryRss: of('primaryRss'),
    replicaRss: of('replicaRss'),
  };
}

function show({ title, points }: GrowthResult): string {
  const MB = 1e6;
  const rows = points.map(({ x, perSecond, cpu, startMs, primaryRss, replicaRss }) => [
    x.toLocaleString('en-US'),
    threeDigits(perSecond),
    threeDigits(cpu),
    threeDigits(primaryRss / MB),
    threeDigits(replicaRss / MB),
    threeDigits(startMs),
  ]);
  const head = [title, 'calls/s', "primary's CPU, µs/call", 'primary, MB', 'a replica, MB', 'start, ms'];
  return table(head, rows, markdown);
}
