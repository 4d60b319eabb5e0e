/**
 * What a call costs, next to what else carries messages to processes. In each round every contender is measured once,
 * in an order that changes; the others are idle. Ratios are taken within a round.
 */

import { writeFileSync } from 'node:fs';
import { options, progress } from '../command.js';
import { shuffled } from '../figures.js';
import { installPeers } from '../install.js';
import { machine, machineLine } from '../machine.js';
import {
  type Case,
  cases,
  FIRST_CALLS,
  FLAT_OUT,
  FLOOR,
  freshCase,
  manyCase,
  SMALL,
  small as smallSample,
} from './cases.js';
import { FlatOut } from './flat-out.js';
import { compileFloor, measureFloor } from './floor.js';
import { Hosted } from './hosted.js';
import { type CpuTask, payloadOf } from './messages.js';
import { type Parts, RoundTripParts } from './parts.js';
import { type Measured, partsOf, report, type Series, verdicts } from './report.js';

const { quick, markdown, only } = options('bench:calls');
const rounds = quick ? 3 : 9;
const effort = quick ? { leadIn: 60, ms: 150 } : { leadIn: 150, ms: 400 };
const FLOOR_TRIPS = quick ? 2_000 : 20_000;

installPeers();
const takesPart = (name: string): boolean => only === undefined || only.includes(name);
const has = ({ among }: Case): boolean => among.some(takesPart);
const hasFloor = compileFloor();
const hosted = new Map<string, Hosted>();
const flatOut = new FlatOut();
try {
  const task = await flatOut.calibrate();
  for (const name of new Set(cases.flatMap(({ among }) => among)))
    if (takesPart(name)) hosted.set(name, await Hosted.start(name));
  const results: Measured[] = [];
  const parts = hasFloor ? measureParts(task) : undefined;
  const wanted = cases.filter(has);
  for (const [i, item] of wanted.entries()) {
    progress(`${i + 1} of ${wanted.length}: ${item.name}, ${item.inFlight} in flight`);
    results.push(await measure(item, task));
  }
  await Promise.all([...hosted.values()].map((host) => host.close()));
  progress(freshCase.name);
  if (has(freshCase)) results.push(await measureFresh(task));
  progress(manyCase.name);
  if (has(manyCase)) results.push(await measureMany(task));
  progress('');
  console.log(`${machineLine()}; 2 workers each; medians of ${rounds} rounds (lowest to highest)\n`);
  for (const result of results) console.log(`${report(result, markdown)}\n`);
  const roundTrip = results.find(isRoundTrip);
  if (roundTrip !== undefined && parts !== undefined) console.log(`${partsOf(roundTrip, parts, markdown)}\n`);
  console.log(verdicts(results, markdown));
  if (!hasFloor) console.log(`\n${FLOOR}: not measured; it takes Linux and a C compiler (cc)`);
  write(results, task);
} finally {
  flatOut.close();
  await Promise.all([...hosted.values()].map((host) => host.close()));
}

interface Run {
  readonly name: string;
  run(): Promise<number> | number;
}

/** Each once to warm up, then each once a round, in an order that changes. */
async function inRounds(runs: readonly Run[]): Promise<Series[]> {
  const series = runs.map(({ name, run }) => ({ name, run, rounds: [] as number[] }));
  for (const { run } of series) await run();
  for (let round = 0; round < rounds; round++) {
    for (const one of shuffled(series)) one.rounds.push(await one.run());
  }
  return series.map(({ name, rounds }) => ({ name, rounds }));
}

async function measure(item: Case, task: CpuTask): Promise<Measured> {
  const order = { sample: item.sample, task, load: { inFlight: item.inFlight, ...effort } };
  const runs: Run[] = item.among.flatMap((name) => {
    const host = hosted.get(name);
    return host === undefined ? [] : [{ name, run: () => host.measure(order, item.figure) }];
  });
  if (item.sample.sort === 'cpu') runs.push({ name: FLAT_OUT, run: () => flatOut.measure(task, effort.ms) });
  if (isRoundTrip({ case: item }) && hasFloor)
    runs.push({ name: FLOOR, run: () => measureFloor(FLOOR_TRIPS) });
  return { case: item, series: await inRounds(runs) };
}

/** Whether it is about one small message at a time, as the floor is. */
function isRoundTrip({ case: { name, inFlight } }: Pick<Measured, 'case'>): boolean {
  return name === SMALL && inFlight === 1;
}

function measureParts(task: CpuTask): Parts {
  const parts = new RoundTripParts();
  try {
    return parts.measure(payloadOf(smallSample, task), rounds);
  } finally {
    parts.close();
  }
}

/** Each round has a process of its own, with workers of its own: much of the code runs for the first time. */
async function measureFresh(task: CpuTask): Promise<Measured> {
  const { sample, among, figure } = freshCase;
  const runs = among.map((name) => ({
    name,
    async run() {
      const host = await Hosted.start(name);
      try {
        // A worker may start late: one call for each, which does not count.
        await host.measure({ sample, task, load: { first: 2 } }, figure);
        return await host.measure({ sample, task, load: { first: FIRST_CALLS } }, figure);
      } finally {
        await host.close();
      }
    },
  }));
  return { case: freshCase, series: await inRounds(runs) };
}

async function measureMany(task: CpuTask): Promise<Measured> {
  const { sample, inFlight, figure, among } = manyCase;
  const hosts: Hosted[] = [];
  try {
    for (const name of among) hosts.push(await Hosted.start(name));
    const order = { sample, task, load: { inFlight, ...effort } };
    const runs = hosts.map((host) => ({ name: host.name, run: () => host.measure(order, figure) }));
    return { case: manyCase, series: await inRounds(runs) };
  } finally {
    await Promise.all(hosts.map((host) => host.close()));
  }
}

function write(results: readonly Measured[], task: CpuTask): void {
  const file = new URL('../../../bench/results-calls.json', import.meta.url);
  writeFileSync(file, `${JSON.stringify({ ...machine, rounds, ...effort, task, results }, undefined, 1)}\n`);
}
