/** Point 1: the ring and the streams of a channel under Relacy as they are, and weakened variants that must be caught. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import * as ringScenarios from '../../test/native/relacy/scenarios.js';
import * as streamScenarios from '../../test/native/relacy/stream.js';
import { inParallel } from '../lib/in-parallel.js';
import { deriveSmallRing, deriveSmallStream, writeSmall } from './derive.js';
import { catchEach } from './mutants.js';
import { attempt, run } from './process.js';

/** Much to run, or (a mutant, which is soon caught) much to compile. */
const OPTIMISED = '-O1';
const QUICK = '-O0';

export const packages = ['g++', 'relacy-dev'];

/** What is checked: the file of its scenarios, which of them there are and the mutants that they see. */
const ring = { name: 'relacy', source: 'scenarios', derive: deriveSmallRing, ...ringScenarios };
const stream = { name: 'stream', source: 'stream', derive: deriveSmallStream, ...streamScenarios };

export const checkRing = (context) => check(context, ring);
export const checkRingMutants = (context) => checkMutants(context, ring);
export const checkStream = (context) => check(context, stream);
export const checkStreamMutants = (context) => checkMutants(context, stream);

/** Every scenario of the header as it is: none may fail. */
async function check({ root, out, long }, subject) {
  const { name: part, scenarios } = subject;
  const form = long ? 1 : 0;
  await precompile(root, out, OPTIMISED);
  const halves = [0, 1].map((half) => scenarios.filter((_, index) => index % 2 === half));
  const results = await inParallel(2, halves, async (half) => {
    const directory = join(out, `${part}-${halves.indexOf(half)}`);
    const program = await compile(root, directory, OPTIMISED, subject, half);
    const lines = [];
    for (const { name, bound, random } of half) {
      const { output, ok } = await attempt(program, [name, `${bound[form]}`, `${random[form]}`], {
        seconds: long ? 7_200 : 480,
      });
      if (!ok) throw new Error(output);
      lines.push(...output.trim().split('\n'));
    }
    return lines;
  });
  const lines = results.flat().sort();
  for (const line of lines) console.log(`  ${line}`);
  const executions = (kind) =>
    lines
      .filter((line) => line.includes(kind))
      .reduce((sum, line) => sum + Number(line.match(/(\d+)$/)[1]), 0)
      .toLocaleString('en');
  return `${scenarios.length} scenarios, ${executions(' bound ')} executions in every order up to the bound, ${executions(' random ')} random`;
}

/** Every weakened variant: all must be caught. */
async function checkMutants({ root, out }, subject) {
  await precompile(root, out, QUICK);
  return catchEach(subject.mutants, async (mutant) => {
    const wanted = subject.scenarios.filter(({ name }) => mutant.scenarios.includes(name));
    const directory = join(out, `${subject.name}-mutant-${mutant.name}`);
    const program = await compile(root, directory, QUICK, subject, wanted, mutant);
    for (const { name } of wanted) {
      const { output, code } = await attempt(program, [name, '2', '100000'], { seconds: 480 });
      if (code === 1)
        return `${name}: ${output
          .trim()
          .split('\n')
          .at(-1)
          .replace(/^caught .*?: /, '')}`;
      if (code !== 0) throw new Error(`${mutant.name}: exit code ${code}\n${output}`);
    }
    return undefined;
  });
}

/** Relacy is most of what there is to compile: once for all variants. */
async function precompile(root, out, level) {
  const directory = join(out, `precompiled${level}`);
  mkdirSync(directory, { recursive: true });
  const header = join(root, 'test', 'native', 'relacy', 'checked.hpp');
  await run('g++', [...flags(level), '-x', 'c++-header', header, '-o', join(directory, 'checked.hpp.gch')]);
}

async function compile(root, directory, level, subject, wanted, mutant) {
  mkdirSync(directory, { recursive: true });
  writeSmall(directory, subject.derive(root, mutant), wanted);
  const source = join(root, 'test', 'native', 'relacy', `${subject.source}.cc`);
  const program = join(directory, 'scenarios');
  const define = mutant?.define === undefined ? [] : [`-D${mutant.define}`];
  const include = [
    directory,
    join(directory, '..', `precompiled${level}`),
    join(root, 'test', 'native', 'relacy'),
  ];
  await run('g++', [
    ...flags(level),
    ...define,
    ...include.flatMap((path) => ['-I', path]),
    source,
    '-o',
    program,
  ]);
  return program;
}

function flags(level) {
  return ['-std=c++20', level, '-w']; // warnings are Relacy's own
}
