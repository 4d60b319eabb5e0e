/**
 * What `run` is to do, out of its flags, the environment and a configuration file, in this order: what comes first wins. Each
 * value is checked before anything is started, and an error names the place that it came from.
 */

import { resolve } from 'node:path';
import {
  type BalancerOptions,
  balancerOptionNames,
  balancerSettings,
} from '../primary/pools/balancer-options.js';
import { inheritedExecArgv } from '../primary/supervision/exec-argv.js';
import type { SupervisorOptions } from '../primary/supervision/supervisor-options.js';
import { type Context, UsageError } from './command.js';
import { type Configuration, readConfiguration } from './configuration.js';
import { hint } from './did-you-mean.js';
import { type Option, options, variableOf, withoutFlag } from './options-list.js';

export interface RunSettings {
  readonly supervisor: SupervisorOptions;
  readonly balancer: BalancerOptions;
  /** Whether somebody has asked for a control socket: else it is there where it can be. */
  readonly needsControl: boolean;
  readonly watch: boolean;
  /** Empty: the script's folder. */
  readonly watchPaths: readonly string[];
  readonly log: 'text' | 'json' | 'silent' | NonNullable<SupervisorOptions['log']>;
  /** The same error, naming the flag, variable or file that a wrong value came from; any other error as it is. */
  blame(error: unknown): unknown;
}

/** A value, and where it came from: `--max-rss`, `BALLERMANN_MAX_RSS`, `maxRss in ballermann.config.js`. */
interface Found {
  readonly value: unknown;
  readonly from: string;
}

/** @throws UsageError */
export async function runSettings(context: Context): Promise<RunSettings> {
  const { words, rest, env } = context;
  const place = await readConfiguration(ownText(context, 'config'));
  checkKeys(place);
  const found = new Map<string, Found>(); // by the option and its field
  for (const option of options) {
    const value = fromFlag(option, context) ?? fromVariable(option, env) ?? fromFile(option, place);
    if (value !== undefined) found.set(keyOf(option), value);
  }
  const given = gather(found);
  const exec = words[0] ?? place?.values['exec'];
  if (exec === undefined)
    throw new UsageError(
      'run needs the SCRIPT to run, as in: ballermann run server.js (or exec in a configuration file)',
    );
  const { watch, watchPath, config: _, log = 'text', execArgv, env: pairs, ...others } = given;
  const execArgvOf = [...inheritedExecArgv(process.execArgv), ...((execArgv as string[]) ?? [])];
  const balancer = Object.fromEntries(
    Object.entries(others).filter(([key]) => balancerOptionNames.includes(key)),
  );
  const supervisor = Object.fromEntries(
    Object.entries(others).filter(([key]) => !balancerOptionNames.includes(key)),
  );
  const blame = (error: unknown): unknown => blamed(error, found, place);
  try {
    balancerSettings(balancer);
  } catch (error) {
    throw blame(error);
  }
  return {
    supervisor: {
      systemd: env['NOTIFY_SOCKET'] !== undefined,
      control: true,
      ...supervisor,
      exec: exec as string | URL,
      args: rest ?? (place?.values['args'] as string[]) ?? [],
      execArgv: execArgvOf,
      ...(pairs !== undefined && { env: envOf(pairs) }),
    } as SupervisorOptions,
    balancer,
    needsControl: supervisor['control'] === true,
    watch: watch === true,
    watchPaths: ((watchPath as string[]) ?? []).map((path) => resolve(path)),
    log: log as RunSettings['log'],
    blame,
  };
}

function keyOf({ sets, field }: Option): string {
  return field === undefined ? sets : `${sets}.${field}`;
}

/** The flag or variable that says where the configuration is, before there is any. */
function ownText({ values, env }: Context, name: string): string | undefined {
  return (values[name] as string | undefined) ?? (env[variableOf({ name })] || undefined);
}

function fromFlag(option: Option, { values }: Context): Found | undefined {
  const given = values[option.name];
  if (given === undefined) return undefined;
  const from = `--${option.name}`;
  if (typeof given === 'boolean') return { value: given, from };
  return { value: read(option, given as string | readonly string[], from), from };
}

/** A variable that is empty counts as not set, as orchestrators leave them. */
function fromVariable(option: Option, env: Context['env']): Found | undefined {
  const from = variableOf(option);
  const given = env[from];
  if (given === undefined || given === '') return undefined;
  return { value: read(option, option.isList === true ? given.trim().split(/\s+/) : given, from), from };
}

/** A text is read as that of a flag is; what is none is taken as it is, and checked by `supervise`. */
function fromFile(option: Option, place: Configuration | undefined): Found | undefined {
  const whole = place?.values[option.sets];
  if (whole === undefined || place === undefined) return undefined;
  const isObject = typeof whole === 'object' && whole !== null;
  const given =
    option.field === undefined || !isObject ? whole : (whole as Record<string, unknown>)[option.field];
  // `admin: 9090` is short for its first field.
  const isFirst = options.find(({ sets }) => sets === option.sets) === option;
  if (given === undefined || (option.field !== undefined && !isObject && !isFirst)) return undefined;
  const from = `${keyOf(option)} in ${place.name}`;
  if (typeof given !== 'string') return { value: given, from };
  return { value: read(option, option.isList === true ? [given] : given, from), from };
}

function read(option: Option, given: string | readonly string[], from: string): unknown {
  const values = [given].flat().map((text) => {
    const value = option.kind.read(text);
    if (value !== undefined) return value;
    const meant = option.kind.allowed === undefined ? '' : hint(text, option.kind.allowed);
    throw new UsageError(`${from} must be ${option.kind.expected}; got ${JSON.stringify(text)}${meant}`);
  });
  return option.isList === true ? values : values[0];
}

/** The options as `supervise` and `balance` take them: fields in their objects. */
function gather(found: ReadonlyMap<string, Found>): Record<string, unknown> {
  const gathered: Record<string, unknown> = {};
  for (const [key, { value }] of found) {
    const [name, field] = key.split('.') as [string, string?];
    if (field === undefined) gathered[name] = value;
    else gathered[name] = { ...(gathered[name] as object | undefined), [field]: value };
  }
  return gathered;
}

function envOf(pairs: unknown): Record<string, string | undefined> {
  if (!Array.isArray(pairs)) return pairs as Record<string, string>; // of a file
  return Object.fromEntries(
    pairs.map((pair: string) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}

/** A misspelt option is not silently ignored. */
function checkKeys(place: Configuration | undefined): void {
  if (place === undefined) return;
  for (const [key, value] of Object.entries(place.values)) {
    const fields = options.flatMap(({ sets, field }) => (sets === key && field !== undefined ? [field] : []));
    if (fields.length === 0 || typeof value !== 'object' || value === null) continue;
    const wrong = Object.keys(value).find((field) => !fields.includes(field));
    if (wrong !== undefined)
      throw new UsageError(`${key}.${wrong} in ${place.name} is no option: ${key} has ${fields.join(', ')}`);
  }
  const known = new Set<string>(options.map(({ sets }) => sets).filter((name) => name !== 'config'));
  for (const name of ['exec', 'args']) known.add(name);
  for (const key of Object.keys(place.values)) {
    if (known.has(key)) continue;
    const why = (withoutFlag as Record<string, string | undefined>)[key];
    const further = why === undefined ? hint(key, known) : `: ${why}`;
    throw new UsageError(`${key} in ${place.name} is no option of run${further}`);
  }
}

/** A TypeError or RangeError of an option begins with its name: `options.maxRss must be …`. */
function blamed(
  error: unknown,
  found: ReadonlyMap<string, Found>,
  place: Configuration | undefined,
): unknown {
  if (!(error instanceof TypeError || error instanceof RangeError)) return error;
  const [start, path] = /^(?:options\.)?([\w.]+)(?= must )/.exec(error.message) ?? [];
  if (start === undefined || path === undefined) return error;
  const [name = ''] = path.split('.');
  const key = path === 'ratio' ? 'minAliveRatio' : path;
  const exact = found.get(key);
  const near = found.get(name) ?? [...found].find(([each]) => each.startsWith(`${name}.`))?.[1];
  const isInFile =
    place !== undefined &&
    (near === undefined ? Object.hasOwn(place.values, name) : near.from.endsWith(place.name));
  const other = isInFile ? `${path} in ${place.name}` : (near?.from ?? (path === 'exec' ? 'SCRIPT' : path));
  const from = exact?.from ?? other;
  return new UsageError(`${from}${error.message.slice(start.length)}`, { cause: error });
}
