/**
 * What selection: 'least-queue' is good for: one replica of four that takes twice as long as the others, and how long
 * calls take then. Calls are sent by a schedule and do not wait for replies, as requests from outside come, and their
 * time counts from when they were to be sent. In each round both selections get the same schedule, one after the other,
 * over the same replicas; ratios are taken within a round.
 *
 * At 70 % of what all can do together, round robin sends the slow one 1.2 times what it can do: its queue grows as long
 * as the round lasts, and so does round robin's p99. At 50 % it can just do it (0.88), and the length does not matter.
 */

import { writeFileSync } from 'node:fs';
import { balance, pool, supervise } from 'ballermann';
import { options, progress } from '../command.js';
import { quantile, shuffled } from '../figures.js';
import { machine, machineLine } from '../machine.js';
import { type Case, cases, REPLICAS, selections } from './cases.js';
import { calibrate, run, type Sample, set } from './load.js';
import { figures, type Measured, type Round, reality, report, verdict } from './report.js';
import { schedule } from './schedule.js';

const SEED = 1;

const { quick, markdown, only } = options('bench:selection');
const rounds = quick ? 3 : 5;
/** ms; calls of the lead-in do not count: the queues are empty at first. */
const effort = quick ? { leadIn: 100, ms: 300 } : { leadIn: 200, ms: 1800 };

const supervisor = await supervise({
  exec: new URL('./replica.js', import.meta.url),
  replicas: REPLICAS,
});
try {
  for (const selection of selections) await balance(supervisor, selection, { selection });
  const results: Measured[] = [];
  for (const item of cases.filter(({ name }) => only === undefined || only.includes(name))) {
    results.push(await measure(item));
  }
  progress('');
  const length = (effort.leadIn + effort.ms) / 1000;
  console.log(
    `${machineLine()}; ${REPLICAS} replicas; medians of ${rounds} rounds of ${length} s; seed ${SEED}`,
  );
  for (const part of [report, reality, verdict]) console.log(`\n${part(results, markdown)}`);
  write(results);
} finally {
  await supervisor.close();
}

async function measure(item: Case): Promise<Measured> {
  const runs = selections.map((selection) => ({ selection, rounds: [] as Round[] }));
  const pids = pool('round-robin').pids();
  await set(pids, item.waits);
  await calibrate(pids, 10); // warms up
  const perSecond = item.load * capacity(await calibrate(pids, quick ? 15 : 30));
  const all: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    const times = schedule(SEED + round, perSecond, effort.leadIn + effort.ms);
    const leadIn = times.filter((at) => at < effort.leadIn).length;
    for (const { selection, rounds: own } of shuffled(runs)) {
      progress(`${item.title}: ${selection}, round ${round + 1} of ${rounds}`);
      const samples = await run(pool(selection), times);
      if (selection === 'round-robin') checkEven(samples);
      own.push(figures(samples.slice(leadIn), pids[0] as number));
      all.push(...samples);
    }
  }
  const took = pids.map((pid) => meanTime(all, pid));
  const seconds = (runs.length * rounds * (effort.leadIn + effort.ms)) / 1000;
  return {
    case: item,
    realLoad: all.length / seconds / capacity(took),
    took,
    late: quantile(
      all.map(({ late }) => late),
      0.99,
    ),
    series: runs.map(({ selection, rounds }) => ({ selection, rounds })),
  };
}

/** @returns messages a second. @param took ms that each replica takes for one. */
function capacity(took: readonly number[]): number {
  return took.reduce((sum, ms) => sum + 1000 / ms, 0);
}

function meanTime(samples: readonly Sample[], pid: number): number {
  const own = samples.filter(({ served }) => served.pid === pid);
  return own.reduce((sum, { served }) => sum + served.took, 0) / own.length;
}

/** @throws Error where a replica got more than one call more than another, or none. */
function checkEven(samples: readonly Sample[]): void {
  const counts = new Map<number, number>();
  for (const { served } of samples) counts.set(served.pid, (counts.get(served.pid) ?? 0) + 1);
  const numbers = [...counts.values()];
  if (counts.size !== REPLICAS || Math.max(...numbers) - Math.min(...numbers) > 1) {
    throw new Error(`not in turn: the replicas got ${numbers.join(', ')} calls`);
  }
}

function write(results: readonly Measured[]): void {
  const file = new URL('../../../bench/results-selection.json', import.meta.url);
  const content = { ...machine, seed: SEED, rounds, ...effort, results };
  writeFileSync(file, `${JSON.stringify(content, undefined, 1)}\n`);
}
