/**
 * Runs the compiled test files, each in a process and a session of its own, and counts. A file that hangs, or
 * that leaves a process behind, is named and fails; the others go on.
 *
 *   node scripts/test.js [part of a file name ...] [--timeout seconds] [--jobs count]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, stripVTControlCharacters } from 'node:util';
import { killRun, leftovers, MARK } from './sessions.js';

/** How long what a test started may take to end after the test itself has ended. */
const GRACE_MS = 1_000;

const root = fileURLToPath(new URL('..', import.meta.url));
const compiled = join(root, 'out', 'test');
const sources = join(root, 'test');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    timeout: { type: 'string', default: '60' },
    jobs: { type: 'string', default: '2' },
  },
});
const timeoutMs = positive('timeout', values.timeout) * 1_000;
const jobs = Math.ceil(positive('jobs', values.jobs));

const running = new Set();
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
]) {
  process.once(signal, () => process.exit(128 + number));
}
process.once('exit', () => running.forEach(killRun));

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

/** Compiled test files that still have their source, filtered by the arguments, by name. */
function testFiles() {
  if (!existsSync(compiled)) return [];
  return readdirSync(compiled, { recursive: true })
    .filter((file) => /\.test\.[mc]?js$/.test(file))
    .filter((file) => existsSync(join(sources, file.replace(/js$/, 'ts'))))
    .filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part)))
    .sort();
}

async function runFile(file) {
  const started = performance.now();
  const mark = `${process.pid}/${file}`;
  const colour = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};
  const child = spawn(process.execPath, ['--enable-source-maps', join(compiled, file)], {
    cwd: root,
    detached: true,
    env: { ...process.env, ...colour, [MARK]: mark },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const run = { session: child.pid, mark };
  running.add(run);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const closed = once(child, 'close');

  const problems = [];
  const timer = setTimeout(() => {
    problems.push(`hung: not done after ${timeoutMs / 1_000} s`);
    killRun(run);
  }, timeoutMs);
  const [code, signal] = await once(child, 'exit');
  clearTimeout(timer);
  const hung = problems.length > 0;

  if (!hung) {
    const left = await leftovers(run, GRACE_MS);
    for (const { pid, command } of left) problems.push(`left a process behind: ${pid} ${command}`);
  }
  killRun(run);
  running.delete(run);
  // Nobody is left to write, but what was written may still be on its way.
  await Promise.race([closed, sleep(GRACE_MS, undefined, { ref: false })]);
  child.stdout.destroy();
  child.stderr.destroy();

  const { total, passed, skipped, reported } = countTests(output);
  const end = signal ?? `exit code ${code}`;
  if (!hung) {
    if (!reported) problems.push(`ended without a result: ${end}`);
    else if (total + skipped === 0) problems.push('holds no test that ran');
    else if (total === passed && end !== 'exit code 0')
      problems.push(`its tests passed, but it ended with ${end}`);
    // uvu keeps it to itself.
    else if (total > passed && end === 'exit code 0') problems.push('one of its before or after hooks threw');
  }
  const failed = total - passed + (problems.length > 0 ? 1 : 0);
  return { file, output, problems, passed, failed, seconds: (performance.now() - started) / 1_000 };
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

/** The names of the failed tests, as uvu prints them above each reason. */
function failedTests(output) {
  return [...stripVTControlCharacters(output).matchAll(/^ {3}FAIL .*$/gm)].map(([line]) => line.trim());
}

function report({ file, output, problems, passed, failed, seconds }) {
  const verdict = failed === 0 ? 'ok' : 'FAILED';
  const lines = [`--- ${relative(root, join(compiled, file))}`, output.trimEnd()];
  for (const problem of problems) lines.push(`${file}: ${problem}`);
  lines.push(`${verdict}: ${file}: ${passed} of ${passed + failed}, ${seconds.toFixed(1)} s`, '');
  console.log(lines.join('\n'));
}

function summarize() {
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  const failed = results.reduce((sum, result) => sum + result.failed, 0);
  if (files.length === 0) console.log(`no test file matches: ${positionals.join(' ') || '*.test.js'}`);
  else if (passed + failed === 0) console.log('not one test ran');
  for (const { file, output, problems } of results.filter((result) => result.failed > 0)) {
    console.log(`failed: ${[file, ...failedTests(output), ...problems].join('\n  ')}`);
  }
  console.log(`${passed} passed, ${failed} failed`);
  if (failed > 0 || passed === 0) process.exitCode = 1;
}

function positive(name, text) {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value)))
    throw new RangeError(`--${name}: expected a number above 0, got ${text}`);
  return value;
}
