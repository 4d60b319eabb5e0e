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
import { type AdminOptions, type AdminSettings, adminSettings } from './admin-options.js';
import { inheritedExecArgv } from './exec-argv.js';
import type { Logger } from './log.js';
import type { BackoffOptions, IntensityLimit, RestartType } from './restart-policy.js';

/** ms */
const DEFAULT_SHUTDOWN = 5000;

/** A limit after which a replica is replaced. */
export type RecycleReason = 'maxRequests' | 'maxAge' | 'maxRss';

/** How much a replica may serve; Infinity: no limit. */
export type RecycleLimits = Readonly<Record<RecycleReason, number>>;

export interface SupervisorOptions {
  /** The script that each replica runs, ESM or CJS: a path (relative to the current folder), a file: URL string or a URL. */
  exec: string | URL;
  /** How many replicas. @default os.availableParallelism() */
  replicas?: number;
  /** Arguments of the script. @default [] */
  args?: readonly string[];
  /** Options of Node. @default process.execArgv, without those that say what to run, such as `-e` */
  execArgv?: readonly string[];
  /** Environment variables, added to those of the primary. @default {} */
  env?: Readonly<Record<string, string | undefined>>;
  /** The working folder of the replicas. @default the primary's */
  cwd?: string;
  /** How messages travel: 'json', or 'advanced' as structuredClone copies them (Maps, Dates, Buffers). @default 'json' */
  serialization?: Serialization;
  /** Which exits lead to a restart: all, abnormal ones, or none. @default 'permanent' */
  restart?: RestartType;
  /**
   * More than this many restarts within `period` make the supervisor give up, as in OTP, even if other replicas are healthy.
   * Refused forks do not count. If neither this nor `period` is set, the supervisor gives up only when no replica is healthy
   * and each has failed 10 times in a row. @default unset; 1 if `period` is set
   */
  intensity?: number;
  /** ms in which the restarts for `intensity` are counted, above 0. @default unset; 5000 if `intensity` is set */
  period?: number;
  /** A replica that was up for this many ms is healthy. A shorter life is a failure, as is a failed start. @default 5000 */
  healthyAfter?: number;
  /** Delays before restarts, by the number of failures in a row. The first restart is at once. */
  backoff?: Partial<BackoffOptions>;
  /**
   * Where to write what goes wrong: a logger with info, warn and error, each called with an object of fields and a text (as
   * pino's), or false for nowhere. @default warnings and errors on stderr, a line each
   */
  log?: Logger | false;
  /** ms that a replica has for an orderly stop, before SIGKILL. 0: SIGKILL at once. Infinity: no limit. @default 5000 */
  shutdown?: number;
  /**
   * Whether SIGTERM and SIGINT to the primary stop the replicas in order and then end the process, and SIGHUP reloads. If
   * false, your application calls `close` and `reload`. @default true
   */
  signals?: boolean;
  /** ms in which a replica must get ready, from the start of its process. @default 30000 */
  readyTimeout?: number;
  /**
   * How many replicas start at the same time. The others wait, and their `readyTimeout` has not begun yet. Infinity: all.
   * @default os.availableParallelism()
   */
  startConcurrency?: number;
  /**
   * What makes a replica ready. 'listen': its first handle(), ready(), or anything that it listens on. 'ready': only
   * ready(), for a script that listens before it can serve. 'online': its process runs. true means 'listen', false means
   * 'online'. @default 'listen'
   */
  waitReady?: WaitReady | boolean;
  /**
   * A replica is replaced after this many calls, casts and HTTP requests, as in a reload. It may get a few more. Each
   * replica's limit is lowered by up to a tenth, at random. @default Infinity
   */
  maxRequests?: number;
  /** A replica is replaced after this many ms, lowered by up to a tenth, at random. @default Infinity */
  maxAge?: number;
  /** A replica is replaced above this many bytes of memory (RSS), lowered by up to a tenth, at random. @default Infinity */
  maxRss?: number;
  /**
   * A replica whose event loop has not turned for this many ms is blocked: it is out of every rotation until its loop turns.
   * At least 10. Infinity: never. @default 250
   */
  blockedAfter?: number;
  /**
   * A replica whose event loop has not turned for this many ms is hung: it is killed by SIGKILL and restarted, which counts
   * as a crash. At least `blockedAfter` (if that is finite) and 10. Infinity: never. @default Infinity
   */
  hangTimeout?: number;
  /** A folder. A hung replica writes a diagnostic report there before it is killed, as process.report does. @default none */
  hangReports?: string;
  /** How many HTTP requests a replica holds during a window. It answers 503 to more. @default 10000 */
  maxHeldRequests?: number;
  /** ms for which a request is held during a window. Then it gets 503. @default as shutdown; 5000 if that is 0 or Infinity */
  maxHoldTime?: number;
  /**
   * Who distributes connections. 'balanced': the replicas accept in turn from a shared socket. 'node': node:cluster, by its
   * schedulingPolicy. @default 'balanced' on Linux, 'node' elsewhere
   */
  listen?: Listen;
  /**
   * Whether all connections of one remote address go to the same replica; or a function that groups connections. It runs in
   * the primary, which then accepts the connections, and that is slower. Needs listen: 'balanced'. @default false
   */
  sticky?: boolean | StickyKey;
  /**
   * Whether the command `ballermann` can reach the supervisor, by a Unix socket that belongs to this user alone. `name` has to
   * be one that no other supervisor of this user has then. @default false
   */
  control?: boolean;
  /**
   * A port, or where the admin server listens: health, metrics and a page that shows all of it live. A number is a port on
   * 127.0.0.1. `supervisor.admin` is its address. @default none
   */
  admin?: number | AdminOptions;
  /**
   * Whether to tell systemd when all replicas are ready, when they reload and stop, and that they can serve: for a unit of Type=notify
   * or notify-reload. Nothing is told where NOTIFY_SOCKET is not set. @default false
   */
  systemd?: boolean;
  /** The name of the supervisor in log lines and errors. @default the script's file name */
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
  readonly control: boolean;
  readonly admin: AdminSettings | undefined;
  readonly systemd: boolean;
  readonly name: string;
}

export const supervisorOptionNames: readonly string[] = [
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
  'control',
  'admin',
  'systemd',
  'name',
];

/** @throws TypeError or RangeError that names the option. */
export function supervisorSettings(options: SupervisorOptions, maxReplicas: number): SupervisorSettings {
  if (typeof options !== 'object' || options === null)
    throw badType('options', "an object such as { exec: './worker.js' }", options);
  checkOptions('options', options, supervisorOptionNames);
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
    control = false,
    systemd = false,
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
    control: checkBoolean('options.control', control),
    admin: adminSettings(options.admin),
    systemd: checkBoolean('options.systemd', systemd),
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
