/**
 * What the preload adds to the start of a Node process: the CPU time of one that loads it and runs an empty script, as the
 * one file that replicas load, and as the modules that the file is made of.
 */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { options, progress } from '../command.js';
import { shuffled, spread, threeDigits } from '../figures.js';
import { machineLine } from '../machine.js';
import { table } from '../tables.js';

const { quick, markdown } = options('bench:start');
const rounds = quick ? 5 : 40;

const distFile = (name: string): string => fileURLToPath(new URL(`../../../dist/${name}`, import.meta.url));
/** The replica's variable is not set: all is loaded, and nothing is started. */
const cases = [
  { name: 'no preload', args: [], ms: [] as number[] },
  { name: 'one file', args: ['--require', distFile('preload.cjs')], ms: [] as number[] },
  { name: 'its modules', args: ['--require', distFile('replica/preload.js')], ms: [] as number[] },
];
const script = fileURLToPath(new URL('../../../bench/start/empty.cjs', import.meta.url));

for (let round = 0; round < rounds; round++) {
  for (const { name, args, ms } of shuffled(cases)) {
    progress(`${name}, round ${round + 1} of ${rounds}`);
    const { stdout } = spawnSync(process.execPath, ['--no-warnings', ...args, script], { encoding: 'utf8' });
    const { user, system } = JSON.parse(stdout) as NodeJS.CpuUsage;
    ms.push((user + system) / 1_000);
  }
}
progress('');

const without = spread(cases[0]?.ms ?? []).median;
console.log(`${machineLine()}; medians of ${rounds} starts each`);
const rows = cases.map(({ name, ms }) => {
  const { median, min, max } = spread(ms);
  return [name, median, median - without, min]
    .map((cell) => (typeof cell === 'string' ? cell : threeDigits(cell)))
    .concat(threeDigits(max));
});
console.log(table(['a start with', 'CPU, ms', 'of the preload', 'lowest', 'highest'], rows, markdown));
