/** Tells whether a binary of the addon is up to date. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** Changes whenever anything changes that the addon is compiled from. */
export function sourceDigest(root) {
  const native = join(root, 'native');
  const sources = readdirSync(native).map((name) => join(native, name));
  const hash = createHash('sha256');
  for (const file of [
    join(root, 'binding.gyp'),
    join(root, 'node_modules', 'node-addon-api', 'package.json'),
    ...sources.sort(),
  ])
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  return hash.digest('hex');
}
