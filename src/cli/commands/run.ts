/** `ballermann run`: supervises a script, with one pool of the supervisor's name, until it is told to stop or gives up. */

import { existsSync, statSync } from 'node:fs';
import { dirname, extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BallermannError, balance, supervise } from '../../index.js';
import { signalGuard } from '../../primary/process/signals.js';
import type { Logger } from '../../primary/supervision/log.js';
import type { Supervisor } from '../../primary/supervision/supervisor.js';
import { supervisorOptionNames } from '../../primary/supervision/supervisor-options.js';
import { Changes } from '../changes.js';
import { type Command, type Context, EXIT, UsageError } from '../command.js';
import { jsonLogger, textLogger } from '../log.js';
import { optionFlags } from '../options-list.js';
import { type RunSettings, runSettings } from '../settings.js';

export const command: Command = {
  name: 'run',
  usage: 'SCRIPT [flags] [-- arguments of the script]',
  summary: 'Runs a server script in several processes, which share its port, and keeps them running',
  examples: [
    { line: 'ballermann run server.js', does: 'one replica for each core' },
    { line: 'ballermann run server.js -n 4', does: 'four replicas' },
    { line: 'ballermann run server.js --watch -n 1', does: 'development: reload on each change' },
    {
      line: 'ballermann run server.js --max-rss 512mb --hang-timeout 30s',
      does: 'replace what grows or hangs',
    },
    { line: 'ballermann run server.js -- --port 3000', does: 'arguments of the script' },
    { line: 'kill -HUP PID', does: 'reload: new code, no request lost' },
  ],
  notes: [
    'SIGHUP reloads. SIGTERM and Ctrl-C let running requests finish, then everything ends; a second Ctrl-C ends it at once.',
    'Each flag has an environment variable (--max-rss: BALLERMANN_MAX_RSS) and a key in ballermann.config.js (maxRss). The flag',
    'wins over the variable, the variable over the file. Exit code: 0 after an orderly stop, 1 when it failed, 2 for a wrong option.',
  ],
  flags: optionFlags,
  words: { min: 0, max: 1, names: ['SCRIPT'] },
  takesRest: true,
  unknownFlagHint: 'Arguments of the script stand after --, as in: ballermann run server.js -- --port 3000',
  run,
};

async function run(context: Context): Promise<number> {
  const settings = await runSettings(context);
  const script = scriptPath(settings);
  const log = loggerOf(settings, context);
  if (!settings.watch) return (await new Run(settings, script, log, context).untilEnd()).exitCode;
  return watching(settings, script, log, context);
}

/** How a run ended. */
interface End {
  readonly exitCode: number;
  /** Whether other code could make it better: it did not start, or gave up. */
  readonly hasFailed: boolean;
}

/** One life of a supervisor. */
class Run {
  readonly #settings: RunSettings;
  readonly #script: string;
  readonly #log: Logger | false;
  readonly #context: Context;
  supervisor: Supervisor | undefined;

  constructor(settings: RunSettings, script: string, log: Logger | false, context: Context) {
    this.#settings = settings;
    this.#script = script;
    this.#log = log;
    this.#context = context;
  }

  /** @throws UsageError for a wrong option. */
  async untilEnd(): Promise<End> {
    const { balancer, blame } = this.#settings;
    let supervisor: Supervisor;
    try {
      supervisor = await supervise({ ...known(this.#settings.supervisor), log: this.#log });
      await balance(supervisor, supervisor.name, balancer).catch(async (error) => {
        await supervisor.close();
        throw error;
      });
    } catch (error) {
      const blamed = blame(error);
      if (!(blamed instanceof BallermannError)) throw blamed;
      this.#say('error', whyNotStarted(blamed, this.#script));
      return { exitCode: EXIT.failed, hasFailed: true };
    }
    this.supervisor = supervisor;
    const count = supervisor.children().length;
    this.#say(
      'info',
      `${count === 1 ? '1 replica is' : `${count} replicas are`} up. To reload: kill -HUP ${process.pid}`,
    );
    return this.#end(supervisor);
  }

  #end(supervisor: Supervisor): Promise<End> {
    return new Promise((resolveEnd) => {
      let hasFailed = false;
      supervisor.once('gaveUp', () => {
        hasFailed = true;
      });
      supervisor.on('down', ({ restart, expected }) => {
        if (restart || supervisor.children().length > 0 || supervisor.ended !== undefined) return;
        // With --restart transient or temporary it may be that none is left, and none will come.
        hasFailed ||= !expected;
        this.#say(hasFailed ? 'error' : 'info', 'the last replica has ended, and none is restarted');
        void supervisor.close();
      });
      supervisor.once('close', () => {
        if (signalGuard().isEnding()) return; // whoever deals with signals ends this process
        resolveEnd({ exitCode: hasFailed || supervisor.disorderly ? EXIT.failed : EXIT.ok, hasFailed });
      });
    });
  }

  #say(level: 'info' | 'error', text: string): void {
    say(
      this.#log,
      this.#context,
      level,
      this.supervisor?.name ?? this.#settings.supervisor.name ?? base(this.#script),
      text,
    );
  }
}

/** Why this process ends is told in any case. */
function say(
  log: Logger | false,
  { stderr }: Context,
  level: 'info' | 'error',
  supervisor: string,
  text: string,
): void {
  const line = `ballermann: ${supervisor}: ${text}`;
  if (log !== false) log[level]({ supervisor }, line);
  else if (level === 'error') stderr.write(`${line}\n`);
}

/** Runs the script again and again: a change reloads it while it runs, and starts it anew when it has failed. */
async function watching(
  settings: RunSettings,
  script: string,
  log: Logger | false,
  context: Context,
): Promise<number> {
  const name = settings.supervisor.name ?? base(script);
  const tell = (level: 'info' | 'error', text: string): void => say(log, context, level, name, text);
  let current: Run | undefined;
  let onNext: (() => void) | undefined;
  let isReloading = false;
  let isOutdated = false;
  const reload = async (supervisor: Supervisor): Promise<void> => {
    isReloading = true;
    do {
      isOutdated = false;
      // All at once: in development nobody waits for the one after the other. It says itself why it fails.
      await supervisor.reload({ maxUnavailable: Math.max(1, supervisor.children().length) }).catch(() => {});
    } while (isOutdated && supervisor.ended === undefined);
    isReloading = false;
  };
  const onChange = (files: readonly string[]): void => {
    const more = files.length > 3 ? ` and ${files.length - 3} more` : '';
    tell('info', `${files.slice(0, 3).join(', ')}${more} changed`);
    isOutdated = true;
    const supervisor = current?.supervisor;
    if (onNext !== undefined) onNext();
    else if (supervisor !== undefined && supervisor.ended === undefined && !isReloading)
      void reload(supervisor);
  };
  const paths = settings.watchPaths.length > 0 ? settings.watchPaths : [dirname(script)];
  using _changes = new Changes(paths, onChange, (error) =>
    tell('error', `cannot watch every folder: ${error.message}`),
  );
  for (;;) {
    isOutdated = false;
    current = new Run(settings, script, log, context);
    const { exitCode, hasFailed } = await current.untilEnd();
    current = undefined;
    if (!hasFailed) return exitCode;
    if (isOutdated) continue;
    tell('info', 'it is started again at the next change of a file');
    await new Promise<void>((resolveNext) => {
      onNext = resolveNext;
    });
    onNext = undefined;
  }
}

function loggerOf({ log }: RunSettings, context: Context): Logger | false {
  switch (log) {
    case 'text':
      return textLogger(context);
    case 'json':
      return jsonLogger(context);
    case 'silent':
      return false;
    default:
      return log;
  }
}

/** Options that `run` sets of its own accord, where this version of the package has them. */
function known(options: RunSettings['supervisor']): RunSettings['supervisor'] {
  const entries = Object.entries(options).filter(([name]) => supervisorOptionNames.includes(name));
  return Object.fromEntries(entries) as unknown as RunSettings['supervisor'];
}

/** @throws UsageError where there is no such file, or this Node cannot run it. */
function scriptPath({ supervisor: { exec, execArgv = [], env = {} } }: RunSettings): string {
  const isUrl = exec instanceof URL || exec.startsWith('file:');
  const path = isUrl ? fileURLToPath(exec) : resolve(exec);
  if (!existsSync(path)) {
    const other = ['.js', '.mjs', '.cjs', '.ts', '/index.js', '/index.mjs'].find((ending) =>
      existsSync(path + ending),
    );
    const meant =
      other === undefined ? `the current folder is ${process.cwd()}` : `did you mean ${exec}${other}?`;
    throw new UsageError(`there is no script ${exec}; ${meant}`);
  }
  if (statSync(path).isDirectory())
    throw new UsageError(`${exec} is a folder: name the script in it that is to run`);
  const nodeOptions = `${process.env['NODE_OPTIONS'] ?? ''} ${env['NODE_OPTIONS'] ?? ''} ${execArgv.join(' ')}`;
  const hasLoader =
    /--(?:import|loader|experimental-loader|require|experimental-strip-types|experimental-transform-types)\b|(?:^|\s)-r\b/;
  const isTypeScript = /^\.[cm]?ts$/.test(extname(path)) && !runsTypeScript();
  if ((isTypeScript || /^\.[jt]sx$/.test(extname(path))) && !hasLoader.test(nodeOptions)) {
    const newer = isTypeScript ? 'use Node 22.18 or newer, or ' : '';
    throw new UsageError(
      `Node ${process.version} cannot run ${exec} by itself: ${newer}add a loader, as in: npm install tsx; ballermann run ${exec} --node-arg=--import=tsx`,
    );
  }
  return path;
}

function runsTypeScript(): boolean {
  return Boolean((process.features as { typescript?: unknown }).typescript);
}

/** What can be done where the error says what happened, but not what it means for a script that knows nothing of replicas. */
function whyNotStarted(error: BallermannError, script: string): string {
  const text = error.message;
  const isStart = error.code === 'ERR_START_FAILED';
  if (isStart && (error.exitCode === 0 || /readyTimeout/.test(text)))
    return (
      `${text}.\n${base(script)} has not listened on anything. A server is ready when it listens; if it takes long to get there, ` +
      'raise --ready-timeout. If it is to tell by ready() of ballermann/replica, use --wait-ready ready. If it is no server, use ' +
      '--wait-ready online, and --restart transient if it ends when its work is done'
    );
  return text;
}

function base(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
