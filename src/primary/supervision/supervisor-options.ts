/** The options of `supervise`: their meaning, their defaults, their checks. */

import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  badRange,
  badType,
  checkBoolean,
  checkInteger,
  checkMilliseconds,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkString,
  checkStrings,
  MAX_TIMER,
} from '../../arguments.js';
import type { Serialization } from '../../channel/codec.js';
import type { Listen } from '../../channel/listening.js';
import type { WaitReady } from '../../channel/readiness.js';
import { byAddress, type StickyKey } from '../listening/sticky.js';
import { SHORTEST_LOOK } from '../liveness/watch.js';
import { inheritedExecArgv } from './exec-argv.js';
import type { Logger } from './log.js';
import type { BackoffOptions, IntensityLimit, RestartType } from './restart-policy.js';

/** ms */
const DEFAULT_SHUTDOWN = 5000;

/** The limit that a replica has reached. */
export type RecycleReason = 'maxRequests' | 'maxAge' | 'maxRss';

/** How much a replica may serve; Infinity: no limit. */
export type RecycleLimits = Readonly<Record<RecycleReason, number>>;

export interface SupervisorOptions {
  /** The script that each replica runs, ESM or CJS: a path (relative to the current folder), file: URL or URL. */
  exec: string | URL;
  /** How many replicas. @default os.availableParallelism() */
  replicas?: number;
  /** Arguments of the script. @default [] */
  args?: readonly string[];
  /** Options of node itself. @default process.execArgv without what says what to run, as `-e` does */
  execArgv?: readonly string[];
  /** Added to the primary's environment. @default {} */
  env?: Readonly<Record<string, string | undefined>>;
  /** Working folder of the replicas. @default that of the primary */
  cwd?: string;
  /** How messages are serialized: 'json', or 'advanced' for what structured clone takes. @default 'json' */
  serialization?: Serialization;
  /** Which exits bring a restart: all, abnormal ones, none. @default 'permanent' */
  restart?: RestartType;
  /**
   * More restarts than this within `period` make the supervisor give up, as OTP's does, whoever is well. A fork that the
   * system refuses is none: it is tried again. Unless this or `period` is set, a supervisor gives up only when no replica is
   * healthy and each has failed 10 times in a row. @default 1 where `period` is set, as OTP's
   */
  intensity?: number;
  /** ms, above 0. @default 5000 where `intensity` is set, as OTP's */
  period?: number;
  /**
   * ms that a replica has to be up to count as healthy. A shorter life is a failure, as is a start that does not get ready.
   * @default 5000
   */
  healthyAfter?: number;
  /** Delays of restarts, in ms, by the failures of that replica in a row. The first restart is at once. */
  backoff?: Partial<BackoffOptions>;
  /**
   * Where to write what went wrong: an object with info, warn and error, each called with fields and a text (as pino's
   * loggers), or false: nowhere. @default a line for each warning and error on stderr
   */
  log?: Logger | false;
  /**
   * ms that a replica has for an orderly stop; then SIGKILL. 0: SIGKILL at once, as OTP's brutal_kill. Infinity: it has as long
   * as it takes. @default 5000
   */
  shutdown?: number;
  /**
   * Whether SIGTERM and SIGINT to the primary stop the replicas in order and then end the process, and SIGHUP reloads.
   * False: signals do what they would do without this package; the application calls `close` and `reload`. @default true
   */
  signals?: boolean;
  /** ms that a replica has to get ready, from the making of its process on. @default 30000 */
  readyTimeout?: number;
  /**
   * How many replicas start at a time: at first, in a resize, in a reload and after a shock. The others wait for their turn,
   * which `readyTimeout` does not count, so that starts that need much CPU do not hold each other up until none is ready in
   * time. Infinity: all. @default os.availableParallelism()
   */
  startConcurrency?: number;
  /**
   * What makes a replica ready. 'listen': its first handle(), ready(), or anything that it listens on: a port, a path, a
   * descriptor, datagrams; exclusive and reusePort too. 'ready': ready() alone, for a script that listens before it can
   * serve. 'online': the process runs. process.send('ready') is the same as ready(). true: 'listen'; false: 'online'.
   * @default 'listen'
   */
  waitReady?: WaitReady | boolean;
  /**
   * Calls, casts and HTTP requests after which a replica is replaced, as by a reload. Looked at four times a second,
   * so it may have had some more. Like the next two it is lowered by up to a tenth, at random, for each replica.
   * @default Infinity
   */
  maxRequests?: number;
  /** ms that a replica is up before it is replaced. @default Infinity */
  maxAge?: number;
  /** Bytes of memory (resident set size, seen once a second) from which on a replica is replaced. @default Infinity */
  maxRss?: number;
  /**
   * ms of a busy event loop, or of messages that a waiting one does not take, from which on a replica is blocked: out
   * of every rotation until its loop turns. At least 10; Infinity: never. @default 250
   */
  blockedAfter?: number;
  /**
   * ms of the same, without a sign of life over its channel, from which on a replica is hung: killed by SIGKILL, which
   * counts as a crash. At least `blockedAfter` (where that is finite) and 10; Infinity: never. @default Infinity
   */
  hangTimeout?: number;
  /**
   * Folder for diagnostic reports (as of `process.report`, with the environment, without the network): a hung replica
   * writes one before it is killed, if it does so within 2,000 ms. @default none
   */
  hangReports?: string;
  /** HTTP requests that a replica holds during a window; those past it are answered with 503. @default 10000 */
  maxHeldRequests?: number;
  /** ms that an HTTP request is held during a window before it is answered with 503. @default as shutdown; 5000 where that is 0 or Infinity */
  maxHoldTime?: number;
  /**
   * Who distributes the connections of servers: 'balanced', where each replica accepts from the shared socket in its turn,
   * or 'node', as cluster.schedulingPolicy says. @default 'balanced' on Linux, 'node' elsewhere
   */
  listen?: Listen;
  /**
   * Whether all connections of one remote address reach the same replica, or of those that the function gives the same
   * text: it runs in the primary, which then accepts the connections (slower than in turn). Only with listen: 'balanced'.
   * @default false
   */
  sticky?: boolean | StickyKey;
  /** For messages and errors. @default the script's file name */
  name?: string;
}

/** All options, checked and filled in. `exec` is an absolute path. */
export interface SupervisorSettings {
  readonly exec: string;
  readonly replicas: number;
  readonly args: readonly string[];
  readonly execArgv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string | undefined;
  readonly serialization: Serialization;
  readonly restart: RestartType;
  /** Undefined: by the failures in a row of every child. */
  readonly intensity: IntensityLimit | undefined;
  readonly healthyAfter: number;
  readonly backoff: BackoffOptions;
  readonly log: Logger | false | undefined;
  readonly shutdown: number;
  readonly signals: boolean;
  readonly readyTimeout: number;
  readonly startConcurrency: number;
  readonly waitReady: WaitReady;
  readonly recycle: RecycleLimits;
  readonly blockedAfter: number;
  readonly hangTimeout: number;
  readonly hangReports: string | undefined;
  readonly maxHeldRequests: number;
  readonly maxHoldTime: number;
  readonly listen: Listen;
  readonly sticky: StickyKey | undefined;
  readonly name: string;
}

const KEYS = [
  'exec',
  'replicas',
  'args',
  'execArgv',
  'env',
  'cwd',
  'serialization',
  'restart',
  'intensity',
  'period',
  'healthyAfter',
  'backoff',
  'log',
  'shutdown',
  'signals',
  'readyTimeout',
  'startConcurrency',
  'waitReady',
  'maxRequests',
  'maxAge',
  'maxRss',
  'blockedAfter',
  'hangTimeout',
  'hangReports',
  'maxHeldRequests',
  'maxHoldTime',
  'listen',
  'sticky',
  'name',
];

/** @throws TypeError or RangeError that names the option. */
export function supervisorSettings(options: SupervisorOptions, maxReplicas: number): SupervisorSettings {
  if (options === undefined) throw badType('options', 'an object', options);
  checkOptions('options', options, KEYS);
  const exec = execPath(options.exec);
  const {
    replicas = availableParallelism(),
    args = [],
    execArgv = inheritedExecArgv(process.execArgv),
    env = {},
    cwd,
    serialization = 'json',
    restart = 'permanent',
    intensity,
    period,
    healthyAfter = 5000,
    backoff = {},
    log,
    shutdown = DEFAULT_SHUTDOWN,
    signals = true,
    readyTimeout = 30_000,
    startConcurrency = availableParallelism(),
    waitReady = 'listen',
    maxRequests,
    maxAge,
    maxRss,
    blockedAfter = 250,
    hangTimeout = Number.POSITIVE_INFINITY,
    hangReports,
    maxHeldRequests = 10_000,
    maxHoldTime = holdTimeOf(shutdown),
    listen = process.platform === 'linux' ? 'balanced' : 'node',
    sticky = false,
    name = exec.slice(exec.lastIndexOf('/') + 1),
  } = options;
  return {
    exec,
    replicas: checkReplicas('options.replicas', replicas, maxReplicas),
    args: [...checkStrings('options.args', args)],
    execArgv: [...checkStrings('options.execArgv', execArgv)],
    env: checkEnv(env),
    cwd: cwd === undefined ? undefined : checkFolder('options.cwd', cwd),
    serialization: checkOneOf('options.serialization', serialization, ['json', 'advanced']),
    restart: checkOneOf('options.restart', restart, ['permanent', 'transient', 'temporary']),
    intensity: checkIntensity(intensity, period),
    healthyAfter: checkMilliseconds('options.healthyAfter', healthyAfter),
    backoff: checkBackoff(backoff, intensity !== undefined || period !== undefined ? 1000 : 30_000),
    log: checkLog(log),
    shutdown:
      shutdown === Number.POSITIVE_INFINITY ? shutdown : checkMilliseconds('options.shutdown', shutdown),
    signals: checkBoolean('options.signals', signals),
    readyTimeout: checkMilliseconds('options.readyTimeout', readyTimeout),
    startConcurrency: checkLimit('options.startConcurrency', startConcurrency),
    waitReady: checkWaitReady(waitReady),
    recycle: {
      maxRequests: checkLimit('options.maxRequests', maxRequests),
      maxAge: checkLimit('options.maxAge', maxAge),
      maxRss: checkLimit('options.maxRss', maxRss),
    },
    blockedAfter: checkBlockedAfter(blockedAfter),
    hangTimeout: checkHangTimeout(hangTimeout, blockedAfter),
    hangReports: hangReports === undefined ? undefined : checkFolder('options.hangReports', hangReports),
    maxHeldRequests: checkInteger('options.maxHeldRequests', maxHeldRequests, 0, Number.MAX_SAFE_INTEGER),
    maxHoldTime: checkMilliseconds('options.maxHoldTime', maxHoldTime),
    listen: checkOneOf('options.listen', listen, ['balanced', 'node']),
    sticky: checkSticky(sticky, listen),
    name: checkString('options.name', name),
  };
}

export function checkReplicas(name: string, value: unknown, maxReplicas: number): number {
  return checkInteger(name, value, 1, maxReplicas);
}

function checkIntensity(intensity: unknown, period: unknown): IntensityLimit | undefined {
  if (intensity === undefined && period === undefined) return undefined;
  return {
    intensity: checkInteger('options.intensity', intensity ?? 1, 0, Number.POSITIVE_INFINITY),
    period: checkNumber('options.period', period ?? 5000, 1, MAX_TIMER),
  };
}

function checkLog(log: unknown): Logger | false | undefined {
  if (log === undefined || log === false) return log;
  const isLogger =
    typeof log === 'object' &&
    log !== null &&
    (['info', 'warn', 'error'] as const).every((level) => typeof (log as Logger)[level] === 'function');
  if (isLogger) return log as Logger;
  throw badType('options.log', 'false or a logger with the functions info, warn and error', log);
}

function checkWaitReady(waitReady: unknown): WaitReady {
  if (typeof waitReady === 'boolean') return waitReady ? 'listen' : 'online';
  return checkOneOf('options.waitReady', waitReady, ['listen', 'ready', 'online']);
}

/** A request is held as long as a replica would have to finish it, unless that is no time at all or any. */
function holdTimeOf(shutdown: unknown): number {
  return typeof shutdown === 'number' && shutdown > 0 && shutdown <= MAX_TIMER ? shutdown : DEFAULT_SHUTDOWN;
}

function checkSticky(sticky: unknown, listen: unknown): StickyKey | undefined {
  if (typeof sticky !== 'boolean' && typeof sticky !== 'function')
    throw badType('options.sticky', 'a boolean or a function', sticky);
  if (sticky === false) return undefined;
  if (listen !== 'balanced') throw badRange('options.sticky', "false unless listen is 'balanced'", sticky);
  return sticky === true ? byAddress : (sticky as StickyKey);
}

function checkBlockedAfter(ms: unknown): number {
  return ms === Number.POSITIVE_INFINITY
    ? ms
    : checkNumber('options.blockedAfter', ms, SHORTEST_LOOK, MAX_TIMER);
}

function checkHangTimeout(ms: unknown, blockedAfter: number): number {
  if (ms === Number.POSITIVE_INFINITY) return ms;
  const checked = checkNumber('options.hangTimeout', ms, SHORTEST_LOOK, MAX_TIMER);
  if (blockedAfter !== Number.POSITIVE_INFINITY && checked < blockedAfter)
    throw badRange('options.hangTimeout', `at least blockedAfter, ${blockedAfter}`, ms);
  return checked;
}

/** A whole number above 0, or none: no limit. */
function checkLimit(name: string, limit: unknown = Number.POSITIVE_INFINITY): number {
  if (limit === Number.POSITIVE_INFINITY) return limit;
  return checkInteger(name, limit, 1, Number.MAX_SAFE_INTEGER);
}

export function execPath(exec: unknown): string {
  const expected = 'the path or file: URL of an existing file';
  if (typeof exec !== 'string' && !(exec instanceof URL)) throw badType('options.exec', expected, exec);
  if (exec === '') throw badRange('options.exec', expected, exec);
  const isUrl = exec instanceof URL || exec.startsWith('file:');
  let path: string;
  try {
    path = isUrl ? fileURLToPath(exec) : resolve(exec);
  } catch (cause) {
    throw Object.assign(badRange('options.exec', expected, String(exec)), {
      cause,
    });
  }
  return checkExists('options.exec', expected, path, (stats) => stats.isFile());
}

function checkFolder(name: string, folder: unknown): string {
  const expected = 'the path of an existing folder';
  return checkExists(name, expected, resolve(checkString(name, folder)), (stats) => stats.isDirectory());
}

function checkExists(
  name: string,
  expected: string,
  path: string,
  fits: (stats: ReturnType<typeof statSync> & object) => boolean,
): string {
  let fitting: boolean;
  try {
    fitting = fits(statSync(path));
  } catch (cause) {
    throw Object.assign(badRange(name, expected, path), { cause });
  }
  if (!fitting) throw badRange(name, expected, path);
  return path;
}

export function checkEnv(env: unknown): SupervisorSettings['env'] {
  const expected = 'an object of strings';
  if (typeof env !== 'object' || env === null || Array.isArray(env))
    throw badType('options.env', expected, env);
  for (const [key, value] of Object.entries(env)) {
    if (value !== undefined && typeof value !== 'string')
      throw badType(`options.env.${key}`, 'a string', value);
  }
  return { ...env } as SupervisorSettings['env'];
}

function checkBackoff(backoff: unknown, longest: number): BackoffOptions {
  const { initial = 100, max } = checkOptions('options.backoff', backoff, ['initial', 'max']);
  const checked = checkMilliseconds('options.backoff.initial', initial);
  const checkedMax = checkMilliseconds('options.backoff.max', max ?? Math.max(longest, checked));
  if (checkedMax < checked) throw badRange('options.backoff.max', `at least initial, ${initial}`, max);
  return { initial: checked, max: checkedMax };
}
