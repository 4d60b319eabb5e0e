/** Where those files of this package lie that it reads while it runs: the preload and the addon. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BallermannError } from './errors.js';

/** Undefined where a bundler has made a CommonJS file of this package and its user. */
const here: string | undefined = import.meta.url;

let folder: string | undefined;

/**
 * @param path from the package's folder.
 * @throws BallermannError ERR_NATIVE_UNAVAILABLE where a bundler has moved this code out of it.
 */
export function packageFile(path: string): string {
  folder ??= findFolder();
  return folder + path;
}

/** The version of this package. @throws as packageFile. */
export function packageVersion(): string {
  return JSON.parse(readFileSync(packageFile('package.json'), 'utf8')).version;
}

function findFolder(): string {
  let cause: unknown;
  try {
    const folder = fileURLToPath(new URL('..', here));
    const { name } = JSON.parse(readFileSync(`${folder}package.json`, 'utf8'));
    if (name === 'ballermann') return folder;
  } catch (error) {
    cause = error;
  }
  throw new BallermannError(
    'ERR_NATIVE_UNAVAILABLE',
    `ballermann does not find its package: its code runs from ${here ?? 'a CommonJS bundle'}. If a bundler put it there, ` +
      'mark the package as external, so that it stays in node_modules (esbuild: --external:ballermann)',
    { cause },
  );
}
