/** Whether this process belongs to a terminal, so that it is to end with it. */

import { closeSync, constants, openSync } from 'node:fs';
import { isatty } from 'node:tty';
import { statsOfDescriptor, statsOfPath } from '../../stats.js';

/**
 * It has a controlling terminal, and was not cut off from it as nohup does it and people do by hand: with no terminal
 * among its streams, and /dev/null for its stdin. (Whether SIGHUP was ignored cannot be seen: Node resets that when it
 * starts.) Without a controlling terminal are services, containers without one (`docker run` without `-t`), `setsid`.
 */
export function belongsToTerminal(): boolean {
  return hasTerminal() && ([0, 1, 2].some(isatty) || !readsNothing());
}

function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK));
    return true;
  } catch {
    return false;
  }
}

function readsNothing(): boolean {
  const stdin = statsOfDescriptor(0);
  return stdin.isCharacterDevice() && stdin.rdev === statsOfPath('/dev/null')?.rdev;
}
