/**
 * Verifies the ring, the window, the streams of a channel and whose turn it is to accept by machine; what each check
 * proves, and what not, is in docs/verification.md.
 *
 *   node scripts/verify.js [--long] [--only NAME ...]
 *
 * Installs the Debian packages that a check needs and that are missing, with apt-get (and sudo where that is needed).
 * Says a line a check, and in the end how many passed.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import './lib/exit-on-signals.js';
import * as addon from './verify/addon.js';
import * as examples from './verify/examples.js';
import * as fuzz from './verify/fuzz.js';
import { install } from './verify/install.js';
import * as model from './verify/model.js';
import { killAll } from './verify/process.js';
import * as relacy from './verify/relacy.js';
import * as stress from './verify/stress.js';

const checks = [
  { name: 'relacy', part: relacy, work: relacy.checkRing },
  { name: 'relacy-mutants', part: relacy, work: relacy.checkRingMutants },
  { name: 'stream-relacy', part: relacy, work: relacy.checkStream },
  { name: 'stream-relacy-mutants', part: relacy, work: relacy.checkStreamMutants },
  { name: 'gate', part: examples, work: examples.checkGate },
  { name: 'gate-mutants', part: examples, work: examples.checkGateMutants },
  { name: 'stream-frames', part: examples, work: examples.checkStream },
  { name: 'stream-frames-mutants', part: examples, work: examples.checkStreamMutants },
  { name: 'lingering', part: examples, work: examples.checkLingering },
  { name: 'lingering-mutants', part: examples, work: examples.checkLingeringMutants },
  { name: 'model', part: model, work: model.checkModel },
  { name: 'model-mutants', part: model, work: model.checkModelMutants },
  { name: 'fleet-model', part: model, work: model.checkFleetModel },
  { name: 'fleet-model-mutants', part: model, work: model.checkFleetModelMutants },
  { name: 'channel-model', part: model, work: model.checkChannelModel },
  { name: 'channel-model-mutants', part: model, work: model.checkChannelModelMutants },
  { name: 'stress-threads-tsan', part: stress, work: stress.stressThreadsTsan },
  { name: 'stress-threads-asan', part: stress, work: stress.stressThreadsAsan },
  { name: 'stress-processes-asan', part: stress, work: stress.stressProcessesAsan },
  { name: 'stress-processes', part: stress, work: stress.stressProcesses },
  { name: 'stress-spoiled', part: stress, work: stress.stressSpoiled },
  { name: 'channel-threads-tsan', part: stress, work: stress.channelThreadsTsan },
  { name: 'channel-processes-asan', part: stress, work: stress.channelProcessesAsan },
  { name: 'channel-processes', part: stress, work: stress.channelProcesses },
  { name: 'channel-spoiled', part: stress, work: stress.channelSpoiled },
  { name: 'addon-asan', part: addon, work: addon.addonAsan },
  { name: 'fuzz-attach', part: fuzz, work: fuzz.fuzzAttach },
  { name: 'fuzz-ring', part: fuzz, work: fuzz.fuzzRing },
  { name: 'fuzz-listener', part: fuzz, work: fuzz.fuzzListener },
  { name: 'fuzz-stream', part: fuzz, work: fuzz.fuzzStream },
  { name: 'pause', part: stress, work: stress.pauses },
  { name: 'pause-broken', part: stress, work: stress.pausesBroken },
];

const { values } = parseArgs({
  options: {
    long: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
  },
});
// A name stands for all that begin with it: `relacy` for its mutants too.
const unknown = values.only.filter((part) => !checks.some(({ name }) => name.startsWith(part)));
if (unknown.length > 0) {
  throw new RangeError(
    `--only: no such check: ${unknown.join(', ')}; there are ${checks.map(({ name }) => name).join(', ')}`,
  );
}
const wanted = checks.filter(
  ({ name }) => values.only.length === 0 || values.only.some((part) => name.startsWith(part)),
);

process.once('exit', killAll);

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'out', 'verify');
mkdirSync(out, { recursive: true });

let passed = 0;
let failed = 0;
for (const { name, part, work } of wanted) {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1_000).toFixed(1)} s`;
  try {
    await install(part.packages);
    const figures = await work({ root, out, long: values.long });
    passed += 1;
    console.log(`ok: ${name}: ${figures} (${seconds()})`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${name} (${seconds()}): ${error.message}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
