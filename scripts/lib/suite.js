/** Runs the suite once, in a process of its own, and says what came of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import './exit-on-signals.js';

const running = new Set();
// The suite then ends what it has started.
process.once('exit', () => {
  for (const child of running) child.kill('SIGTERM');
});

/**
 * @param options.node the Node that runs it, by its path: this one unless told otherwise.
 * @param options.root the tree that is tested, set up.
 * @param options.kinds of test files: see scripts/test.js.
 * @param options.parts of the names of the test files; all where there are none.
 * @returns how many tests passed and failed, the name of each failure, all that was written, and the time it took.
 */
export async function runSuite({
  node = process.execPath,
  root,
  env = process.env,
  kinds = 'plain,slow',
  parts = [],
}) {
  const started = performance.now();
  const report = join(root, 'out', `suite-${process.pid}.json`);
  mkdirSync(join(root, 'out'), { recursive: true });
  const child = spawn(
    node,
    [join(root, 'scripts', 'test.js'), '--report', report, '--kinds', kinds, ...parts],
    {
      cwd: root,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const [code, signal] = await once(child, 'close');
  running.delete(child);
  const result = existsSync(report)
    ? JSON.parse(readFileSync(report, 'utf8'))
    : {
        passed: 0,
        failed: 1,
        failures: [`the suite ended without a result: ${signal ?? `exit code ${code}`}`],
      };
  rmSync(report, { force: true });
  return { ...result, output, seconds: (performance.now() - started) / 1_000 };
}
