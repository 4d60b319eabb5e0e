/** The configuration file of `run`: a module whose default export has the options of `supervise` and `balance`. */

import { existsSync } from 'node:fs';
import { basename, dirname, isAbsolute, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { show } from '../arguments.js';
import { UsageError } from './command.js';

export interface Configuration {
  /** For error texts. */
  readonly name: string;
  readonly values: Readonly<Record<string, unknown>>;
}

const NAMES = ['js', 'mjs', 'ts'].map((ending) => `ballermann.config.${ending}`);

/** What of it are paths, which begin in the folder of the file. */
const PATHS = ['exec', 'cwd', 'hangReports', 'watchPath'];

/**
 * @param given the file; undefined: that of the current folder, where there is one.
 * @throws UsageError
 */
export async function readConfiguration(given: string | undefined): Promise<Configuration | undefined> {
  const file = given === undefined ? find() : resolve(given);
  if (file === undefined) return undefined;
  const name = basename(file);
  if (!existsSync(file)) throw new UsageError(`there is no configuration file ${file}`);
  const values: unknown = await load(file, name);
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    const expected = "must have a default export with options, such as: export default { exec: 'server.js' }";
    throw new UsageError(`${name} ${expected}; its default export is ${show(values)}`);
  }
  return { name, values: withPaths(values as Record<string, unknown>, dirname(file)) };
}

function find(): string | undefined {
  const there = NAMES.filter((name) => existsSync(name));
  if (there.length > 1)
    throw new UsageError(`there are ${there.join(' and ')}: keep one of them, or choose by --config FILE`);
  return there[0] === undefined ? undefined : resolve(there[0]);
}

async function load(file: string, name: string): Promise<unknown> {
  try {
    const module = (await import(pathToFileURL(file).href)) as { default?: unknown };
    return await module.default;
  } catch (cause) {
    throw new UsageError(`${name} cannot be read: ${whyNot(cause, name)}`, { cause });
  }
}

function whyNot(error: unknown, name: string): string {
  if (!(error instanceof Error)) return `it threw ${show(error)}`;
  if ((error as NodeJS.ErrnoException).code === 'ERR_UNKNOWN_FILE_EXTENSION')
    return `Node ${process.version} does not run TypeScript; use Node 22.18 or newer, or a ballermann.config.mjs`;
  if (error instanceof SyntaxError) return `${error}. To see where: node --check ${name}`;
  return String(error);
}

function withPaths(values: Record<string, unknown>, folder: string): Record<string, unknown> {
  const from = (path: unknown): unknown =>
    typeof path !== 'string' || path === '' || path.startsWith('file:') || isAbsolute(path)
      ? path
      : resolve(folder, path);
  const paths = PATHS.filter((name) => name in values).map((name) => {
    const value = values[name];
    return [name, Array.isArray(value) ? value.map(from) : from(value)];
  });
  return { ...values, ...Object.fromEntries(paths) };
}
