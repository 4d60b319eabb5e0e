/**
 * Runs a script in a process and a session of its own, for so long at most. Nothing that it started outlives it, nor
 * the process that runs it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import './exit-on-signals.js';
import { killRun, leftovers, MARK } from './sessions.js';

/** How long what a script started may take to end after the script itself has ended. */
const GRACE_MS = 1_000;

const running = new Set();
process.once('exit', () => running.forEach(killRun));

/**
 * @param args of node.
 * @param mark what no other run has.
 * @returns how it ended, what it wrote, and in `problems` whether it hung or left a process behind.
 */
export async function boundedRun(args, { cwd, env, mark, timeoutMs }) {
  const child = spawn(process.execPath, args, {
    cwd,
    detached: true,
    env: { ...process.env, ...env, [MARK]: mark },
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
  return { end: signal ?? `exit code ${code}`, output, hung, problems };
}
