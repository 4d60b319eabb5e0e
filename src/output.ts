/**
 * Keeps a process alive whose output nobody reads any more: its log shipper has died, or its terminal was closed. Node ends
 * it then, at the second console.log, by an uncaught EPIPE or EIO. A primary would take all of its replicas with it, and
 * replicas would end one after another until their supervisor gives up.
 */

import { isatty } from 'node:tty';
import { addon } from './memory/addon.js';
import { statsOfDescriptor } from './stats.js';

/** Who needs it now. */
let users = 0;
let watched: NodeJS.WriteStream[] = [];

/**
 * What is written to a stdout or stderr that is closed at the other end is lost from now on, as if the application listened
 * for the error. Other errors, and an application that does listen, find what they would have found.
 * @returns ends it.
 */
export function ignoreClosedOutput(): () => void {
  if (++users === 1) begin();
  return () => {
    if (--users === 0) end();
  };
}

function begin(): void {
  addon().leaveGoneTerminal();
  watched = streams();
  for (const stream of watched) stream.on('error', onError);
  process.on('exit', leaveTerminal);
}

function end(): void {
  for (const stream of watched) stream.off('error', onError);
  process.off('exit', leaveTerminal);
}

/** Those that can lose their reader. Node opens a stream at its first use: no file is opened for this. */
function streams(): NodeJS.WriteStream[] {
  const found: NodeJS.WriteStream[] = [];
  if (canLoseReader(1)) found.push(process.stdout);
  if (canLoseReader(2)) found.push(process.stderr);
  return found;
}

function canLoseReader(fd: number): boolean {
  const stats = statsOfDescriptor(fd);
  return stats.isFIFO() || stats.isSocket() || isatty(fd);
}

/** What is started from now on finds no terminal that is none. */
function leaveTerminal(): void {
  addon().leaveGoneTerminal();
}

function onError(this: NodeJS.WriteStream, error: NodeJS.ErrnoException): void {
  if (error.code === 'EIO') leaveTerminal();
  else if (error.code !== 'EPIPE' && this.listenerCount('error') === 1) throw error; // as if this were no listener
}
