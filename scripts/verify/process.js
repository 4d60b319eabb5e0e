/** Runs commands for the checks: their output kept, their time limited, none left behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const running = new Set();

/** Ends what still runs: for the exit of the script. */
export function killAll() {
  for (const child of running) kill(child);
}

function kill(child) {
  try {
    process.kill(-child.pid, 'SIGKILL'); // the whole group: it leads one
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * @returns what the command wrote (stdout and stderr together) and how it ended; does not judge it.
 * @throws Error when it takes longer than `seconds`, or cannot be started.
 */
export async function attempt(command, args, { seconds = 300, cwd, env } = {}) {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const closed = once(child, 'close'); // rejects where it could not be started
  running.add(child);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    kill(child);
  }, seconds * 1_000);
  try {
    const [code, signal] = await closed;
    if (late) throw new Error(`not done after ${seconds} s: ${command} ${args.join(' ')}\n${tail(output)}`);
    return { output, code, signal, ok: code === 0 };
  } finally {
    clearTimeout(timer);
    running.delete(child);
  }
}

/** As `attempt`, for what has to end well. @returns its output. */
export async function run(command, args, options) {
  const { output, code, signal, ok } = await attempt(command, args, options);
  if (!ok) {
    throw new Error(`${signal ?? `exit code ${code}`}: ${command} ${args.join(' ')}\n${tail(output)}`);
  }
  return output;
}

function tail(output) {
  return output.split('\n').slice(-25).join('\n').slice(-4_000);
}
