/** The descriptors of a replica's channel, until each side has its own: both of them or, where the fork fails, neither. */

import { closeSync } from 'node:fs';
import type { SideDescriptors } from '../../channel/shared-channel.js';
import { addon } from '../../memory/addon.js';

export class ChannelEnds {
  /** What the replica is to inherit. */
  readonly ofReplica: SideDescriptors;
  #own: SideDescriptors | undefined;

  /** @throws Error where the system has no descriptor or memory left. */
  constructor() {
    const { memory, ear, bell, replicaEar, replicaBell } = addon().makeChannel();
    this.ofReplica = { memory, ear: replicaEar, bell: replicaBell };
    this.#own = { memory, ear, bell };
  }

  /** The fork is done, or has failed. The memory is the primary's as well. */
  inherited(): void {
    closeSync(this.ofReplica.ear);
    closeSync(this.ofReplica.bell);
  }

  /** The primary's: whoever takes them closes them. */
  take(): SideDescriptors {
    const own = this.#own;
    if (own === undefined) throw new Error('the ends of the channel are taken');
    this.#own = undefined;
    return own;
  }

  /** There is no replica. */
  discard(): void {
    for (const fd of Object.values(this.take())) closeSync(fd as number);
  }
}
