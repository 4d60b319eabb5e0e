/** The messages of one pool on their way to its replicas: sent in turn, or held while the pool is paused or has nobody. */

import type { Codec } from '../../channel/codec.js';
import type { BallermannError, Refusal } from '../../errors.js';
import type { Rotation } from '../../memory/rotation.js';
import { Latency } from '../metrics/latency.js';
import type { Message, Route } from '../replicas/message.js';
import { Held } from './held.js';
import type { Membership } from './membership.js';

/** What messages need of their pool. */
export interface DispatchedPool {
  readonly name: string;
  readonly codec: Codec;
  readonly rotation: Rotation;
  readonly membership: Membership;
  isPaused(): boolean;
  /** @throws the error that says so. */
  refuse(why: Refusal): never;
}

export class Dispatcher implements Route {
  readonly name: string;
  readonly codec: Codec;
  readonly #pool: DispatchedPool;
  readonly #held: Held;
  readonly latency = new Latency();
  #sent = 0;
  #redirected = 0;
  #lostCasts = 0;

  constructor(pool: DispatchedPool) {
    this.name = pool.name;
    this.codec = pool.codec;
    this.#pool = pool;
    this.#held = new Held(() =>
      pool.isPaused() ? 'a maintenance window of the pool holds it' : 'the pool has no replica to send it to',
    );
  }

  /** Messages that were given to a replica, redirections included. */
  get sent(): number {
    return this.#sent;
  }

  get redirected(): number {
    return this.#redirected;
  }

  /** Messages that wait for the end of a window, or for a replica. */
  get held(): number {
    return this.#held.size;
  }

  get lostCasts(): number {
    return this.#lostCasts;
  }

  accept(message: Message): void {
    if (this.#pool.isPaused()) this.#hold(message);
    else this.#dispatch(message);
  }

  redirect(message: Message): void {
    const { membership } = this.#pool;
    this.#redirected++;
    try {
      if (membership.size === 0 && membership.mayGrow) this.#hold(message);
      else this.accept(message);
    } catch (error) {
      this.#giveUp(message, error);
    }
  }

  replied(ms: number): void {
    this.latency.record(ms);
  }

  /** Sends what is held, if that is possible now. */
  sendHeld(): void {
    if (this.#pool.isPaused() || this.#pool.membership.size === 0) return;
    for (const message of this.#held.take()) {
      try {
        this.#dispatch(message);
      } catch (error) {
        this.#giveUp(message, error);
      }
    }
  }

  giveUpHeld(error: BallermannError): void {
    for (const message of this.#held.take()) this.#giveUp(message, error);
  }

  #dispatch(message: Message): void {
    const { rotation, membership } = this.#pool;
    for (let tries = membership.size; ; tries--) {
      const pid = rotation.next();
      if (membership.get(pid)?.carry(message)) {
        this.#sent++;
        return;
      }
      if (tries <= 1) this.#pool.refuse('overload');
    }
  }

  #hold(message: Message): void {
    if (!this.#held.add(message)) this.#pool.refuse('overload');
  }

  #giveUp(message: Message, error: unknown): void {
    if (message.kind === 'cast') this.#lostCasts++;
    message.reject(error);
  }
}
