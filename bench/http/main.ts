/**
 * An HTTP server in replicas that accept in turn, next to the same script under node:cluster's two policies. In each round
 * every contender is measured once, in an order that changes; the others are idle. Ratios are taken within a round.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { answerOf } from '../calls/flat-out.js';
import { options, progress } from '../command.js';
import { shuffled } from '../figures.js';
import { machine, machineLine } from '../machine.js';
import { type Case, type Contender, cases, contenders } from './cases.js';
import { endLoad, hasWrk, putLoad } from './load.js';
import { type Measured, type Round, report, verdicts } from './report.js';

const { quick, markdown, only } = options('bench:http');
const rounds = quick ? 3 : 7;
const ms = quick ? 2000 : 4000;

interface Host {
  readonly name: Contender;
  readonly process: ChildProcess;
  readonly port: number;
  readonly rounds: Round[];
}

const results: Measured[] = [];
try {
  for (const item of cases) results.push(await measure(item));
} finally {
  endLoad();
}
progress('');
console.log(`${machineLine()}; medians of ${rounds} rounds of ${ms / 1000} s (lowest to highest)`);
console.log(
  hasWrk ? 'load by wrk\n' : 'load by a client in Node: with wrk installed, the servers are the limit\n',
);
for (const result of results) console.log(`${report(result, markdown)}\n`);
console.log(verdicts(results, markdown));
const file = new URL('../../../bench/results-http.json', import.meta.url);
writeFileSync(file, `${JSON.stringify({ ...machine, hasWrk, rounds, ms, results }, undefined, 1)}\n`);

async function measure(item: Case): Promise<Measured> {
  const hosts: Host[] = [];
  try {
    for (const name of contenders) {
      if (only === undefined || only.includes(name)) hosts.push(await start(name, item));
    }
    for (const host of hosts) await run(host, item, item.blocks ? 2000 : 500); // warms up: a replica has been blocked once
    for (let round = 0; round < rounds; round++) {
      for (const host of shuffled(hosts)) {
        progress(`${item.name}: ${host.name}, round ${round + 1} of ${rounds}`);
        host.rounds.push(await run(host, item, ms));
      }
    }
  } finally {
    await Promise.all(hosts.map(end));
  }
  return { case: item, series: hosts.map(({ name, rounds }) => ({ name, rounds })) };
}

async function start(name: Contender, { replicas, blocks }: Case): Promise<Host> {
  const file = fileURLToPath(new URL('./host.js', import.meta.url));
  const process = fork(file, [name, `${replicas}`], {
    env: { ...globalThis.process.env, BLOCKS: blocks ? '1' : '0' },
  });
  return { name, process, port: await answerOf<number>(process), rounds: [] };
}

async function run({ process, port }: Host, { clients, keepAlive, rate }: Case, ms: number): Promise<Round> {
  const load = { port, clients, keepAlive, ms };
  const { perSecond, p99 } = await putLoad(rate === undefined ? load : { ...load, rate });
  process.send('counts');
  return { perSecond, p99, counts: await answerOf<number[]>(process) };
}

async function end({ process }: Host): Promise<void> {
  const gone = once(process, 'exit');
  if (process.connected) process.disconnect();
  await gone;
}
