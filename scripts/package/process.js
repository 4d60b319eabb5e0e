/** Runs the commands of the package's test: their time limited, nothing left behind. */
import { spawn } from 'node:child_process';
import '../lib/exit-on-signals.js';
import { killRun, leftovers, MARK } from '../lib/sessions.js';

const COMMAND_TIMEOUT_MS = 300_000;
/** How long the replicas may take to end after their primary. */
const GRACE_MS = 1_000;

const running = new Set();
process.once('exit', () => running.forEach(killRun));

/** Runs a command to its end. Rejects, with all it printed, if it fails, hangs or leaves a process behind. */
export async function run(command, args, { cwd, env = process.env, timeoutMs = COMMAND_TIMEOUT_MS }) {
  const mark = `${process.pid}/${performance.now()}`;
  const child = spawn(command, args, {
    cwd,
    detached: true,
    env: { ...env, [MARK]: mark },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const processes = { session: child.pid, mark };
  if (child.pid !== undefined) running.add(processes);
  let hung = false;
  const timer = setTimeout(() => {
    hung = true;
    killRun(processes);
  }, timeoutMs);
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  const end = await ended.finally(() => clearTimeout(timer));
  const left = hung ? [] : await leftovers(processes, GRACE_MS);
  killRun(processes);
  running.delete(processes);
  await closed;

  const problems = left.map(({ pid, command: line }) => `left a process behind: ${pid} ${line}`);
  if (hung) problems.push(`not done after ${timeoutMs / 1_000} s`);
  else if (end !== 'exit code 0') problems.push(end);
  if (problems.length === 0) return { stdout, stderr };
  throw new Error([[command, ...args].join(' '), ...problems, stdout, stderr].join('\n'));
}

/** What npm told the script that runs us is about this repository, not about the project. */
export function cleanEnv(changes = {}) {
  const clean = Object.entries(process.env).filter(
    ([key]) => !/^npm_(?!config_)|^npm_config_local_prefix$/i.test(key),
  );
  return { ...Object.fromEntries(clean), ...changes };
}

/** What a script of test/package prints when it has seen nothing wrong. */
const SUCCESS = 'all answers right\n';
const SCRIPT_TIMEOUT_MS = 60_000;

/** Runs a script of test/package. @param options.expected what it may say on stderr. */
export async function runScript(command, args, options) {
  const { cwd, env, timeoutMs = SCRIPT_TIMEOUT_MS, expected = /^$/ } = options;
  const { stdout, stderr } = await run(command, args, { cwd, env, timeoutMs });
  if (stdout !== SUCCESS) throw new Error(`expected '${SUCCESS.trim()}' and nothing else, got:\n${stdout}`);
  // Node may say that loading an ES module with require() is experimental.
  const said = stderr
    .split('\n')
    .filter(
      (line) => !expected.test(line) && line !== '' && !/ExperimentalWarning: |--trace-warnings/.test(line),
    );
  if (said.length > 0) throw new Error(`unexpected on stderr:\n${said.join('\n')}`);
}
