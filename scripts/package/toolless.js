/** A PATH for machines that have Node and nothing to compile with. */
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the launchers of installers call, and no more. */
const BASIC = ['sh', 'env', 'sed', 'dirname', 'basename', 'uname', 'readlink', 'git'];

/**
 * @param folder is made, and is all of the PATH.
 * @param node the Node that it holds, by its path.
 * @param commands more of them: name to script of Node's.
 */
export function toollessPath(folder, node, commands = {}) {
  mkdirSync(folder, { recursive: true });
  symlinkSync(node, join(folder, 'node'));
  for (const [name, script] of Object.entries(commands)) {
    writeFileSync(join(folder, name), `#!/bin/sh\nexec '${node}' '${script}' "$@"\n`, { mode: 0o755 });
  }
  for (const name of BASIC) {
    const path = ['/usr/bin', '/bin'].map((place) => join(place, name)).find((file) => existsSync(file));
    if (path !== undefined) symlinkSync(path, join(folder, name));
  }
  return folder;
}
