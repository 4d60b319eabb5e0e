/**
 * Runs the compiled test files, each in a process and a session of its own, and counts. A file that hangs, or
 * that leaves a process behind, is named and fails; the others go on.
 *
 *   node scripts/test.js [part of a file name ...] [--kinds kind,kind] [--timeout seconds] [--jobs count] [--report file]
 *
 * There are three kinds of files, by their names: *.test.ts is `plain`, for each change; *.slow.test.ts is what takes ten seconds
 * or more; *.long.test.ts is what takes longer still, or is the same on every Node. Plain ones run unless told otherwise, and
 * files that are named, whatever their kind.
 * As many files run at once as there are cores, 8 at most: with more, limits of a few hundred ms would be too short.
 * A file that passes is one line; one that fails is told in full. The last line counts, those before it say what was
 * skipped, and why. The report is what the last lines say, as JSON.
 */
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, stripVTControlCharacters } from 'node:util';
import { boundedRun } from './lib/bounded-run.js';
import { positive } from './lib/options.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiled = join(root, 'out', 'test');
const sources = join(root, 'test');
const launcher = join(root, 'scripts', 'lib', 'run-test.js');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kinds: { type: 'string', default: 'plain' },
    timeout: { type: 'string', default: '120' },
    jobs: { type: 'string', default: String(Math.min(8, availableParallelism())) },
    report: { type: 'string' },
  },
});
const timeoutMs = positive('timeout', values.timeout) * 1_000;
const jobs = Math.ceil(positive('jobs', values.jobs));
const kinds = values.kinds.split(',');
const unknown = kinds.find((kind) => !['plain', 'slow', 'long'].includes(kind));
if (unknown !== undefined) throw new RangeError(`--kinds takes plain, slow and long, got ${unknown}`);

const files = testFiles();
const queue = [...files];
const results = [];
await Promise.all(Array.from({ length: jobs }, worker));
summarize();

async function worker() {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const result = await runFile(file);
    results.push(result);
    report(result);
  }
}

/**
 * Compiled test files that still have their source: those that the arguments name, or all of the kinds. The largest first, which
 * often take the longest: else one of these runs alone at the end.
 */
function testFiles() {
  if (!existsSync(compiled)) return [];
  return readdirSync(compiled, { recursive: true })
    .filter((file) => /\.test\.[mc]?js$/.test(file))
    .filter((file) => existsSync(join(sources, file.replace(/js$/, 'ts'))))
    .filter((file) =>
      positionals.length === 0
        ? kinds.includes(kindOf(file))
        : positionals.some((part) => file.includes(part)),
    )
    .sort((a, b) => sizeOf(b) - sizeOf(a));
}

function sizeOf(file) {
  return statSync(join(compiled, file)).size;
}

function kindOf(file) {
  return /\.(slow|long)\.test\./.exec(file)?.[1] ?? 'plain';
}

async function runFile(file) {
  const started = performance.now();
  const mark = `${process.pid}/${file}`;
  const env = {
    ...(process.stdout.isTTY && { FORCE_COLOR: '1' }),
    // The tests have certificates of their own; and where this is set, Node 20 reads all others as each process starts.
    NODE_EXTRA_CA_CERTS: undefined,
  };
  const { end, output, hung, problems } = await boundedRun([launcher, join(compiled, file)], {
    cwd: root,
    env,
    mark,
    timeoutMs,
  });

  const { total, passed, skipped, reported } = countTests(output);
  if (!hung) {
    if (!reported) problems.push(`ended without a result: ${end}`);
    else if (total + skipped === 0) problems.push('holds no test that ran');
    else if (total === passed && end !== 'exit code 0')
      problems.push(`its tests passed, but it ended with ${end}`);
    // uvu keeps it to itself.
    else if (total > passed && end === 'exit code 0') problems.push('one of its before or after hooks threw');
  }
  const failed = total - passed + (problems.length > 0 ? 1 : 0);
  return { file, output, problems, passed, failed, skipped, seconds: (performance.now() - started) / 1_000 };
}

/** Sums what uvu says at its end, which is once a run. */
function countTests(output) {
  const text = stripVTControlCharacters(output);
  const sum = (word) =>
    [...text.matchAll(new RegExp(`^  ${word}: +(\\d+)$`, 'gm'))].reduce(
      (all, match) => all + Number(match[1]),
      0,
    );
  return {
    total: sum('Total'),
    passed: sum('Passed'),
    skipped: sum('Skipped'),
    reported: /^ {2}Total: +\d+$/m.test(text),
  };
}

/** The failed tests, each on one line with what uvu says of it: of a run elsewhere often no more is kept. */
function failedTests(output) {
  const failures = stripVTControlCharacters(output).matchAll(/^ {3}(FAIL .*)\n((?: {4}.*\n|\n)*)/gm);
  return [...failures].map(([, name, details]) => {
    const said = details
      .split(/^ +at /m)[0]
      .replace(/\s+/g, ' ')
      .trim();
    const place = /[^/]+\.test\.js:\d+:\d+/.exec(details);
    return `${name}: ${said.slice(0, 500)}${place === null ? '' : ` (${place})`}`;
  });
}

/** Why a file skips tests, which it says in a line of its own. */
function skipReasons({ output, skipped }) {
  return skipped > 0 ? output.split('\n').filter((line) => /\b(?:is|are) skipped\b/.test(line)) : [];
}

function report({ file, output, problems, passed, failed, skipped, seconds }) {
  const count = `${passed} of ${passed + failed}${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  const line = `${file}: ${count}, ${seconds.toFixed(1)} s`;
  if (failed === 0) {
    console.log(`ok: ${line}`);
    return;
  }
  const told = [`--- ${relative(root, join(compiled, file))}`, output.trimEnd()];
  for (const problem of problems) told.push(`${file}: ${problem}`);
  console.log([...told, `FAILED: ${line}`, ''].join('\n'));
}

function summarize() {
  const sum = (key) => results.reduce((all, result) => all + result[key], 0);
  const passed = sum('passed');
  const failed = sum('failed');
  const skipped = sum('skipped');
  const failures = [];
  if (files.length === 0) failures.push(`no test file matches: ${positionals.join(' ') || '*.test.js'}`);
  else if (passed + failed === 0) failures.push('not one test ran');
  for (const failure of failures) console.log(failure);
  for (const { file, output, problems } of results.filter((result) => result.failed > 0)) {
    const reasons = [...failedTests(output), ...problems];
    if (reasons.length === 0) reasons.push('failed, and named no test');
    console.log(`failed: ${[file, ...reasons].join('\n  ')}`);
    failures.push(...reasons.map((reason) => `${file}: ${reason}`));
  }
  for (const reason of new Set(results.flatMap(skipReasons))) console.log(reason);
  if (skipped > 0) console.log(`${skipped} skipped`);
  console.log(`${passed} passed, ${failed} failed`);
  if (failures.length > 0) process.exitCode = 1;
  if (values.report !== undefined) {
    writeFileSync(values.report, JSON.stringify({ passed, failed, failures }));
  }
}
