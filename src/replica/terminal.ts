/** Whether this process belongs to a terminal, whose end is told by SIGHUP. */

import { closeSync, constants, openSync } from 'node:fs';

export function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', constants.O_RDONLY | constants.O_NOCTTY));
    return true;
  } catch {
    return false; // ENXIO: it has none
  }
}
