/** The script that `run` is given: whether it is there, and whether this Node can run it. */

import { existsSync, statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from './command.js';
import type { RunSettings } from './settings.js';

/** @throws UsageError where there is no such file, or this Node cannot run it. */
export function scriptPath({ supervisor: { exec, execArgv = [], env = {} } }: RunSettings): string {
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

/** As the supervisor is named unless `name` says otherwise. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
