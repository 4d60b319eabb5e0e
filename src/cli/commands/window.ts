/** `ballermann window`: runs a command while no replica works. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { MAX_TIMER } from '../../arguments.js';
import type { ControlClient } from '../../control/client.js';
import { deferred } from '../../deferred.js';
import { ignoreClosedOutput } from '../../output.js';
import { CliError, type Command, type Context, UsageError } from '../command.js';
import { durationOf, nameFlag, reach } from '../reach.js';

/** Beside the exit codes of the command that it runs; those of timeout(1) and env(1). */
const CODE = { timedOut: 124, noWindow: 125, notExecutable: 126, notFound: 127, signal: 128 } as const;

/** ms that the command has after SIGTERM or SIGHUP of ours, before SIGKILL. */
const GRACE = 10_000;

const PASSED_ON = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** Says to the commands within which windows they run. */
const WITHIN = 'BALLERMANN_WITHIN';

export const command: Command = {
  name: 'window',
  usage: 'POOL [flags] -- COMMAND [args]',
  summary:
    'Runs a command inside a maintenance window: the pool is paused and every replica is idle, until the command has ended',
  examples: [
    { line: 'ballermann window shop -- ./migrate.sh', does: 'the pool of `ballermann run --name shop`' },
    { line: 'ballermann window shop --timeout 1m -- npm run migrate', does: 'for a minute at most' },
  ],
  flags: {
    name: nameFlag,
    wait: {
      type: 'string',
      value: 'TIME',
      help: 'How long each replica may take to finish what it is doing (5s)',
    },
    timeout: {
      type: 'string',
      value: 'TIME',
      help: 'When the command gets SIGTERM, the wait included; SIGKILL follows 10 s later (no limit)',
    },
    quiet: { type: 'boolean', short: 'q', help: 'Write nothing but errors' },
  },
  words: { min: 1, max: 1, names: ['POOL'] },
  takesRest: true,
  notes: [
    "The exit code is the command's; 128 + n if signal n ended it. 124: --timeout was over. 125: the window did not",
    'open, or ended before the command did. 126, 127: the command cannot be run, was not found. SIGTERM, SIGINT,',
    'SIGHUP and the like are passed on to the command. The window ends when the command, this process or its',
    'connection does. After SIGKILL to this process the command runs on, outside of the window.',
  ],
  run,
};

async function run(context: Context): Promise<number> {
  const { words, rest = [], values, stderr } = context;
  const [pool = ''] = words;
  const [file, ...args] = rest;
  if (file === undefined)
    throw new UsageError('window needs a command: ballermann window POOL -- COMMAND [args]');
  const limits = { wait: durationOf(context, 'wait'), timeout: durationOf(context, 'timeout') };
  const reached = await reach(context);
  const id = `${reached.path} ${pool}`;
  const around = windowsAround(context);
  const say = (text: string): void => {
    if (values['quiet'] !== true) stderr.write(`ballermann: ${text}\n`);
  };
  try {
    if (around.includes(id))
      throw noWindow(`this is inside a window of pool '${pool}': another one would wait for its end`);
    return await runWithin(reached.client, pool, limits, say, () => {
      const env = { ...context.env, [WITHIN]: JSON.stringify([...around, id]) };
      return spawn(file, args, { stdio: 'inherit', env });
    });
  } finally {
    reached.client.end();
  }
}

/** @returns the exit code. @throws CliError */
async function runWithin(
  client: ControlClient,
  pool: string,
  { wait, timeout }: { wait: number | undefined; timeout: number | undefined },
  say: (text: string) => void,
  start: () => ChildProcess,
): Promise<number> {
  using signals = new Signals();
  using limit = new TimeLimit(timeout);
  const opened = deferred();
  const request = {
    verb: 'window',
    pool,
    ...(wait !== undefined && { wait }),
    // Here the limit ends the command first, and then the window. There it is for the case that this process is stopped.
    ...(timeout !== undefined && { timeout: Math.min(timeout + 2 * GRACE, MAX_TIMER) }),
  } as const;
  const window = client.ask(request, ({ event }) => event === 'open' && opened.resolve());
  const lost = window.then(
    () => noWindow('the supervisor has closed the window'),
    (error: Error) => noWindow(error.message, error),
  );

  const before = await Promise.race([opened.promise, lost, signals.first, limit.over]);
  if (before instanceof Error) throw before;
  if (signals.received !== undefined) return CODE.signal + constants.signals[signals.received];
  if (limit.isOver) throw timedOut(`the window of pool '${pool}' did not open within ${timeout} ms`);

  say(`the window of pool '${pool}' is open`);
  const child = start();
  const ended = endOf(child);
  signals.passTo(child);
  void limit.over.then(() => terminate(child, 'SIGTERM'));
  void lost.then(() => terminate(child, 'SIGTERM'));
  const after = await Promise.race([ended, lost]);
  if (after instanceof Error) {
    await ended;
    throw noWindow(`the window ended before the command did: ${after.message}`, after);
  }
  client.closeWindow();
  await window.then(
    ({ open }) => say(`the window of pool '${pool}' was open for ${(open / 1_000).toFixed(1)} s`),
    () => {}, // the supervisor has just ended: the command was faster
  );
  if (limit.isOver) throw timedOut(`the command had not ended after ${timeout} ms`);
  return after;
}

/** @returns its exit code, as a shell gives it. @throws CliError where it could not be started. */
async function endOf(child: ChildProcess): Promise<number> {
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    return code ?? CODE.signal + constants.signals[signal as NodeJS.Signals];
  } catch (cause) {
    throw notRun(cause as NodeJS.ErrnoException);
  }
}

/** Asks a command to end, and sees to it that it does. */
function terminate(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), GRACE);
  child.once('exit', () => clearTimeout(timer));
}

/** The signals that would end this process: they are for the command. */
class Signals implements Disposable {
  readonly #first = deferred();
  received: NodeJS.Signals | undefined;
  #child: ChildProcess | undefined;
  /** Ctrl-C and Ctrl-\ of a terminal reach the command without us. */
  readonly #ofTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  readonly #listener = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGHUP') ignoreClosedOutput();
    this.received ??= signal;
    this.#first.resolve();
    if (this.#child === undefined) return;
    if (signal === 'SIGHUP')
      terminate(this.#child, signal); // nobody is left who could end it
    else if (!this.#ofTerminal || (signal !== 'SIGINT' && signal !== 'SIGQUIT')) this.#child.kill(signal);
  };

  constructor() {
    for (const signal of PASSED_ON) process.on(signal, this.#listener);
  }

  /** Resolves with the first that comes. */
  get first(): Promise<void> {
    return this.#first.promise;
  }

  passTo(child: ChildProcess): void {
    this.#child = child;
  }

  [Symbol.dispose](): void {
    for (const signal of PASSED_ON) process.off(signal, this.#listener);
  }
}

class TimeLimit implements Disposable {
  readonly #over = deferred();
  readonly #timer: NodeJS.Timeout | undefined;
  isOver = false;

  /** @param ms undefined: never. */
  constructor(ms: number | undefined) {
    if (ms === undefined) return;
    this.#timer = setTimeout(() => {
      this.isOver = true;
      this.#over.resolve();
    }, ms);
  }

  get over(): Promise<void> {
    return this.#over.promise;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Of this process: a window of the same pool would never open. */
function windowsAround({ env }: Context): unknown[] {
  try {
    const around: unknown = JSON.parse(env[WITHIN] ?? '[]');
    return Array.isArray(around) ? around : [];
  } catch {
    return [];
  }
}

function noWindow(text: string, cause?: Error): CliError {
  return new CliError(text, CODE.noWindow, { cause });
}

function notRun(cause: NodeJS.ErrnoException): CliError {
  const exitCode = cause.code === 'ENOENT' ? CODE.notFound : CODE.notExecutable;
  return new CliError(`the command cannot be run: ${cause.message}`, exitCode, { cause });
}

function timedOut(text: string): CliError {
  return new CliError(text, CODE.timedOut);
}
