/**
 * The primary's end of a replica's lifeline: a pipe through which nothing is sent. The replica ends itself by SIGKILL when
 * this end is closed. The primary's death closes it, whatever the replica is doing then and whoever it runs as.
 */

import { closeSync } from 'node:fs';
import { addon } from '../../memory/addon.js';

export class Lifeline {
  /** What the replica is to inherit; closed here once it has. */
  readonly fd: number;
  #end: number | undefined;

  /** @throws Error where the system has no descriptor left. */
  constructor() {
    const { read, write } = addon().makeLifeline();
    this.fd = read;
    this.#end = write;
  }

  /** The fork is done, or has failed. */
  inherited(): void {
    closeSync(this.fd);
  }

  /** Ends the replica, if it is still there. */
  cut(): void {
    if (this.#end !== undefined) closeSync(this.#end);
    this.#end = undefined;
  }
}
