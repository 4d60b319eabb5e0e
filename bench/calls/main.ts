/**
 * What a call costs, next to what else carries messages to processes. In each round every contender is measured once,
 * in an order that changes; the others are idle. Ratios are taken within a round.
 */

import { writeFileSync } from 'node:fs';
import { options, progress } from '../command.js';
import { shuffled } from '../figures.js';
import { installPeers } from '../install.js';
import { machine, machineLine } from '../machine.js';
import { type Case, cases, FLAT_OUT } from './cases.js';
import { contenders } from './contenders.js';
import { FlatOut } from './flat-out.js';
import { Hosted } from './hosted.js';
import type { CpuTask } from './messages.js';
import { type Measured, report, verdicts } from './report.js';

const { quick, markdown, only } = options('bench:calls');
const rounds = quick ? 3 : 9;
const effort = quick ? { leadIn: 60, ms: 150 } : { leadIn: 150, ms: 400 };

installPeers();
const names = Object.keys(contenders).filter((name) => only === undefined || only.includes(name));
const hosted: Hosted[] = [];
const flatOut = new FlatOut();
try {
  const task = await flatOut.calibrate();
  for (const name of names) hosted.push(await Hosted.start(name));
  const results: Measured[] = [];
  for (const [i, item] of cases.entries()) {
    progress(`${i + 1} of ${cases.length}: ${item.name}, ${item.inFlight} in flight`);
    results.push(await measure(item, task));
  }
  progress('');
  console.log(`${machineLine()}; 2 workers each; medians of ${rounds} rounds (lowest to highest)\n`);
  for (const result of results) console.log(`${report(result, markdown)}\n`);
  console.log(verdicts(results, markdown));
  write(results, task);
} finally {
  flatOut.close();
  await Promise.all(hosted.map((host) => host.close()));
}

async function measure(item: Case, task: CpuTask): Promise<Measured> {
  const order = { inFlight: item.inFlight, content: item.content ?? task, ...effort };
  const runs = hosted.map((host) => ({ name: host.name, run: () => host.measure(order) }));
  if (item.content === undefined) {
    runs.push({ name: FLAT_OUT, run: () => flatOut.measure(task, effort.ms) });
  }
  const series = runs.map(({ name, run }) => ({ name, run, rounds: [] as number[] }));
  for (const { run } of series) await run(); // warms up
  for (let round = 0; round < rounds; round++) {
    for (const one of shuffled(series)) one.rounds.push(await one.run());
  }
  return { case: item, series: series.map(({ name, rounds }) => ({ name, rounds })) };
}

function write(results: readonly Measured[], task: CpuTask): void {
  const file = new URL('../../../bench/results-calls.json', import.meta.url);
  writeFileSync(file, `${JSON.stringify({ ...machine, rounds, ...effort, task, results }, undefined, 1)}\n`);
}
