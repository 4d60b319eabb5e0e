/** Where the peers and their worker scripts lie: in bench/peers/, which is not compiled and has packages of its own. */

import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Seen from out/bench/. */
const home = new URL('../../bench/peers/', import.meta.url);
const { resolve } = createRequire(new URL('package.json', home));

export function workerFile(name: string): string {
  return fileURLToPath(new URL(`workers/${name}.cjs`, home));
}

/** @returns one export of a package of bench/peers, whichever sort of module the package is. */
export async function peer<Export>(name: string, exported: string): Promise<Export> {
  const module = await import(pathToFileURL(resolve(name)).href);
  return module[exported] ?? module.default[exported] ?? module.default;
}
