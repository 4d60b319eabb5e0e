/**
 * Runs the suite again and again, and counts the runs that passed. Each test that failed is named with its runs; what
 * a failed run wrote is kept in out/flakes/.
 *
 *   node scripts/flakes.js [part of a file name ...] [--runs count]
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { positive } from './lib/options.js';
import { runSuite } from './lib/suite.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const kept = join(root, 'out', 'flakes');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '10' } },
});
const runs = Math.ceil(positive('runs', values.runs));

rmSync(kept, { recursive: true, force: true });
const runsOf = new Map(); // by failure
let passedRuns = 0;
for (let run = 1; run <= runs; run++) {
  const { passed, failed, failures, output, seconds } = await runSuite({ root, parts: positionals });
  console.log(`run ${run}: passed ${passed}, failed ${failed}, ${seconds.toFixed(1)} s`);
  if (failures.length === 0) {
    passedRuns++;
    continue;
  }
  mkdirSync(kept, { recursive: true });
  const file = join(kept, `run-${run}.txt`);
  writeFileSync(file, output);
  console.log(`  its output is in ${relative(root, file)}`);
  for (const failure of failures) {
    console.log(`  ${failure}`);
    runsOf.set(failure, [...(runsOf.get(failure) ?? []), run]);
  }
}
for (const [failure, inRuns] of runsOf) {
  console.log(`failed in ${inRuns.length} of ${runs} runs (${inRuns.join(', ')}): ${failure}`);
}
console.log(`${passedRuns} passed, ${runs - passedRuns} failed`);
if (passedRuns < runs) process.exitCode = 1;
