/**
 * Whether a pool hands out, and to whom: its ring, which the pool alone may change. Another process of the cluster can
 * write over it all the same, so the pool keeps what the ring should say, and writes it again where it says otherwise.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { unlessAborted } from '../../aborts.js';
import { type Deferred, deferred } from '../../deferred.js';
import type { Refusal } from '../../errors.js';
import type { Ring } from '../../memory/ring.js';
import type { Membership } from './membership.js';

export class Gate {
  readonly #ring: Ring;
  readonly #membership: Membership;
  #paused = false;
  #closed = false;
  #handOuts = 0;
  /** Of the window that is open, or of the last one. */
  #end: Deferred<void> | undefined;

  constructor(ring: Ring, membership: Membership) {
    this.#ring = ring;
    this.#membership = membership;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  /** Resolves at the end of the window that is open; at once where none is. */
  get resumed(): Promise<void> {
    return this.#end?.promise ?? Promise.resolve();
  }

  /** The members are others now. */
  publish(): void {
    if (!this.#closed) this.#ring.publish(this.#membership.rotation());
  }

  pause(): void {
    this.#paused = true;
    this.#end = deferred();
    if (!this.#closed) this.#ring.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.#closed) this.#ring.resume();
    this.#end?.resolve();
  }

  /** Pids that were handed out in all processes, until the ring was given back. */
  handOuts(): number {
    if (!this.#closed) this.#handOuts = this.#ring.handOuts();
    return this.#handOuts;
  }

  /** Gives the ring back. A window that is open goes on. */
  close(): void {
    this.handOuts();
    this.#closed = true;
    this.#ring.close();
  }

  /** Transactions that run in all processes; 0 where the ring was given back. */
  running(): number {
    return this.#closed ? 0 : this.#ring.running();
  }

  /** Resolves when the pool may be no longer paused; rejects with the signal's reason. */
  async untilResumed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#paused) {
      this.mend();
      await turn(); // or whoever waits would ask again and again where the flag is set at once
    }
    await unlessAborted(signal, this.resumed);
  }

  /** Has the ring, and the slots of those in it, say what they should. */
  mend(): void {
    if (this.#closed) return;
    this.publish();
    this.#membership.recount();
    if (this.#paused) this.#ring.pause();
    else this.#ring.resume();
  }

  /** Whether what the shared memory says to whoever asks it for a pid is not so. */
  isForged(why: Refusal): boolean {
    if (this.#closed) return false;
    switch (why) {
      case 'paused':
        return !this.#paused;
      case 'empty':
        return this.#membership.rotation().length > 0;
      case 'overload':
        return !this.#membership.isFull;
      case 'closed':
      case 'spoiled':
        return true;
    }
  }
}
