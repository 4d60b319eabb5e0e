/** Finds the headers that came with the running Node, so that the addon is built without a download. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The directory to give node-gyp as `--nodedir`, or undefined where this Node came without its headers. */
export function ownHeaders() {
  const prefix = dirname(dirname(process.execPath));
  const versionHeader = join(prefix, 'include', 'node', 'node_version.h');
  if (!existsSync(versionHeader)) return undefined;
  const text = readFileSync(versionHeader, 'utf8');
  const [major, minor, patch] = ['MAJOR', 'MINOR', 'PATCH'].map(
    (part) => text.match(new RegExp(`#define NODE_${part}_VERSION (\\d+)`))?.[1],
  );
  return `${major}.${minor}.${patch}` === process.versions.node ? prefix : undefined;
}
