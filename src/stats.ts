/**
 * What may be a pipe or a socket is looked at by these alone. Until version 24 Node's realpathSync() takes the type of what fs was
 * last asked about for that of a folder it knows. After a pipe or a socket it leaves links unresolved, so that packages which
 * are links, as pnpm makes them, no longer find theirs. fs keeps bigints in another place.
 */

import { type BigIntStats, fstatSync, lstatSync, statSync } from 'node:fs';

/** @throws what the system says. */
export function statsOfDescriptor(fd: number): BigIntStats {
  return fstatSync(fd, { bigint: true });
}

/** Of a link itself. Undefined where there is nothing. */
export function statsOfLink(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** Undefined where there is nothing. */
export function statsOfPath(path: string): BigIntStats | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false });
}
