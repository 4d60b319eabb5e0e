/**
 * Keeps a process alive whose output nobody reads any more: its log shipper has died, say. Node ends it then, at the
 * second console.log, by an uncaught EPIPE. A primary would take all of its replicas with it, and replicas would end one
 * after another until their supervisor gives up.
 */

import { fstatSync } from 'node:fs';

/** Who needs it now. */
let users = 0;

/**
 * What is written to a closed stdout or stderr is lost from now on, as if the application listened for the error.
 * Other errors, and an application that does listen, find what they would have found.
 * @returns ends it.
 */
export function ignoreClosedOutput(): () => void {
  if (++users === 1) for (const stream of pipes()) stream.on('error', onError);
  return () => {
    if (--users === 0) for (const stream of pipes()) stream.off('error', onError);
  };
}

/** Those that can lose their reader. Node opens a stream at its first use: no file or terminal is opened for this. */
function pipes(): NodeJS.WriteStream[] {
  const found: NodeJS.WriteStream[] = [];
  if (isPipe(1)) found.push(process.stdout);
  if (isPipe(2)) found.push(process.stderr);
  return found;
}

function isPipe(fd: number): boolean {
  const stats = fstatSync(fd);
  return stats.isFIFO() || stats.isSocket();
}

function onError(this: NodeJS.WriteStream, error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && this.listenerCount('error') === 1) throw error; // as if this were no listener
}
