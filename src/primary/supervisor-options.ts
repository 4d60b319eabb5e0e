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
  checkOneOf,
  checkOptions,
  checkString,
  checkStrings,
} from '../arguments.js';
import type { Serialization } from '../wire/codec.js';
import type { Listen } from '../wire/listening.js';
import type { BackoffOptions, RestartType } from './restart-policy.js';
import type { StickyKey } from './sticky.js';

export interface SupervisorOptions {
  /** The script that each replica runs, ESM or CJS: a path (relative to the current folder), file: URL or URL. */
  exec: string | URL;
  /** How many replicas. @default os.availableParallelism() */
  replicas?: number;
  /** Arguments of the script. @default [] */
  args?: readonly string[];
  /** Options of node itself. @default process.execArgv */
  execArgv?: readonly string[];
  /** Added to the primary's environment. @default {} */
  env?: Readonly<Record<string, string | undefined>>;
  /** Working folder of the replicas. @default that of the primary */
  cwd?: string;
  /** How messages are serialized: 'json', or 'advanced' for what structured clone takes. @default 'json' */
  serialization?: Serialization;
  /** Which exits bring a restart: all, abnormal ones, none. @default 'permanent' */
  restart?: RestartType;
  /** More restarts than this within `period` make the supervisor give up. @default 10 */
  intensity?: number;
  /** ms. @default 1000 */
  period?: number;
  /** Delays of restarts in a row, in ms. The first restart after a healthy life is at once. */
  backoff?: Partial<BackoffOptions>;
  /** ms that a replica has for an orderly stop; then SIGKILL. @default 5000 */
  shutdown?: number;
  /** ms that a replica has to get ready. @default 30000 */
  readyTimeout?: number;
  /** Whether a replica is ready at its first handle(), listen() or ready(); else when it is online. @default true */
  waitReady?: boolean;
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
  readonly intensity: number;
  readonly period: number;
  readonly backoff: BackoffOptions;
  readonly shutdown: number;
  readonly readyTimeout: number;
  readonly waitReady: boolean;
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
  'backoff',
  'shutdown',
  'readyTimeout',
  'waitReady',
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
    execArgv = process.execArgv,
    env = {},
    cwd,
    serialization = 'json',
    restart = 'permanent',
    intensity = 10,
    period = 1000,
    backoff = {},
    shutdown = 5000,
    readyTimeout = 30_000,
    waitReady = true,
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
    cwd: cwd === undefined ? undefined : checkFolder(cwd),
    serialization: checkOneOf('options.serialization', serialization, ['json', 'advanced']),
    restart: checkOneOf('options.restart', restart, ['permanent', 'transient', 'temporary']),
    intensity: checkInteger('options.intensity', intensity, 0, Number.POSITIVE_INFINITY),
    period: checkMilliseconds('options.period', period),
    backoff: checkBackoff(backoff),
    shutdown: checkMilliseconds('options.shutdown', shutdown),
    readyTimeout: checkMilliseconds('options.readyTimeout', readyTimeout),
    waitReady: checkBoolean('options.waitReady', waitReady),
    listen: checkOneOf('options.listen', listen, ['balanced', 'node']),
    sticky: checkSticky(sticky, listen),
    name: checkString('options.name', name),
  };
}

export function checkReplicas(name: string, value: unknown, maxReplicas: number): number {
  return checkInteger(name, value, 1, maxReplicas);
}

function checkSticky(sticky: unknown, listen: unknown): StickyKey | undefined {
  if (typeof sticky !== 'boolean' && typeof sticky !== 'function')
    throw badType('options.sticky', 'a boolean or a function', sticky);
  if (sticky === false) return undefined;
  if (listen !== 'balanced') throw badRange('options.sticky', "false unless listen is 'balanced'", sticky);
  return sticky === true ? ({ address = '' }) => address : (sticky as StickyKey);
}

function execPath(exec: unknown): string {
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

function checkFolder(cwd: unknown): string {
  const expected = 'the path of an existing folder';
  return checkExists('options.cwd', expected, resolve(checkString('options.cwd', cwd)), (stats) =>
    stats.isDirectory(),
  );
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

function checkEnv(env: unknown): SupervisorSettings['env'] {
  const expected = 'an object of strings';
  if (typeof env !== 'object' || env === null || Array.isArray(env))
    throw badType('options.env', expected, env);
  for (const [key, value] of Object.entries(env)) {
    if (value !== undefined && typeof value !== 'string')
      throw badType(`options.env.${key}`, 'a string', value);
  }
  return { ...env } as SupervisorSettings['env'];
}

function checkBackoff(backoff: unknown): BackoffOptions {
  const { initial = 100, max = 1000 } = checkOptions('options.backoff', backoff, ['initial', 'max']);
  const checked = {
    initial: checkMilliseconds('options.backoff.initial', initial),
    max: checkMilliseconds('options.backoff.max', max),
  };
  if (checked.max < checked.initial)
    throw badRange('options.backoff.max', `at least initial, ${initial}`, max);
  return checked;
}
