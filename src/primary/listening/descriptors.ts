/**
 * Descriptors that the primary was started with, as by a service manager, and that replicas listen on. The handle of a
 * listening socket closes its descriptor in the end: so it gets a duplicate, and the primary's own stays open for those
 * that come next.
 */

import { type BigIntStats, closeSync } from 'node:fs';
import type { Addon } from '../../memory/addon.js';
import { statsOfDescriptor } from '../../stats.js';

/** Duplicates that our own listening sockets have. */
const ours = new Set<number>();

/** The last duplicate that Node's own primary was given, by supervisor and descriptor. */
const lent = new Map<string, number>();

/** For one handle. @returns the negative errno where it cannot be duplicated. */
export function duplicate(fd: number, addon: Addon): number {
  const copy = addon.duplicate(fd);
  if (copy >= 0) ours.add(copy);
  return copy;
}

/** Its handle has been closed, and has closed it. */
export function closed(copy: number): void {
  ours.delete(copy);
}

/** No handle has taken it. */
export function giveBack(copy: number): void {
  ours.delete(copy);
  closeSync(copy);
}

/**
 * For Node's own primary, which tells sockets apart by the number and does not say when it closes one: the same
 * duplicate for as long as it is open.
 * @returns `fd` itself where it is no socket: Node says then what is wrong.
 */
export function lend(owner: number, fd: number, addon: Addon): number {
  const socket = socketOf(fd);
  if (socket === undefined) return fd;
  const key = `${owner}:${fd}`;
  const before = lent.get(key);
  if (before !== undefined && !ours.has(before) && isSame(socketOf(before), socket)) return before;
  const copy = addon.duplicate(fd);
  if (copy < 0) return fd;
  lent.set(key, copy);
  return copy;
}

function socketOf(fd: number): BigIntStats | undefined {
  try {
    const stats = statsOfDescriptor(fd);
    return stats.isSocket() ? stats : undefined;
  } catch {
    return undefined; // not open
  }
}

function isSame(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return one !== undefined && one.dev === other.dev && one.ino === other.ino;
}
