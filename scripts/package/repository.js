/** What the test of the package takes from the repository's own packages. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packages = fileURLToPath(new URL('../../node_modules', import.meta.url));

function manifestOf(name) {
  return JSON.parse(readFileSync(join(packages, name, 'package.json'), 'utf8'));
}

export function versionOf(name) {
  return manifestOf(name).version;
}

/** The path of a package's only, or first, command. */
export function binOf(name) {
  const { bin } = manifestOf(name);
  return join(packages, name, typeof bin === 'string' ? bin : Object.values(bin)[0]);
}
