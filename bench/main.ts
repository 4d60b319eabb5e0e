/**
 * What a hand-out costs, next to what else a program could do. All cases are timed in each of several rounds, in an
 * order that changes: what else the machine does falls on all of them, and ratios are taken within a round.
 */

import { parseArgs } from 'node:util';
import { balance, supervise } from 'ballermann';
import { progress } from './command.js';
import { here, type Place, replicaPlace, threadPlace } from './place.js';
import { primarySubjects } from './primary.js';
import { report, type Series, table, write } from './report.js';
import { commonSubjects, REPLICAS } from './subjects.js';

const { quick } = options();
const rounds = quick ? 3 : 9;
const effort = quick ? { minTime: 0.01, minSamples: 1 } : { minTime: 0.05, minSamples: 3 };

const supervisor = await supervise({ exec: new URL('./replica.js', import.meta.url), replicas: REPLICAS });
const thread = threadPlace();
try {
  const bench = await balance(supervisor, 'bench');
  await balance(supervisor, 'other');
  const subjects = primarySubjects(bench);
  const elsewhere = commonSubjects().map(({ name }) => name);
  const plan = [
    ...onePlace(
      here('primary', subjects),
      subjects.map(({ name }) => name),
    ),
    ...onePlace(thread, elsewhere),
    ...onePlace(replicaPlace(bench.pids()[0] as number), elsewhere),
  ];
  const all = await measure(plan);
  const result = report(all);
  if (quick) console.log('--quick: checks the answers; too short to judge targets by');
  console.log(`medians of ${rounds} rounds; ratio: to Atomics.add of the same place in the same round\n`);
  console.log(table(result));
  write(new URL('../../bench/results.json', import.meta.url), result, all);
} finally {
  await thread.end();
  await supervisor.close();
}

interface Step {
  readonly place: Place;
  readonly series: Series;
}

function onePlace(place: Place, subjects: readonly string[]): Step[] {
  return subjects.map((subject) => ({ place, series: { place: place.name, subject, rounds: [] } }));
}

async function measure(plan: readonly Step[]): Promise<Series[]> {
  for (const { place, series } of plan) await place.time(series.subject, effort); // warms up, finds the counts
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`);
    for (const { place, series } of shuffled(plan)) {
      series.rounds.push(await place.time(series.subject, effort));
    }
  }
  progress('');
  for (const place of new Set(plan.map((step) => step.place))) await place.verify();
  return plan.map(({ series }) => series);
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, key: Math.random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

function options(): { quick: boolean } {
  try {
    const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
    return { quick: values.quick === true };
  } catch (error) {
    console.error(`bench: ${(error as Error).message}. Usage: npm run bench -- [--quick]`);
    process.exit(2);
  }
}
