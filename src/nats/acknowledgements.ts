/** The coordinator's count of the members that have acknowledged its window. */

import type { NatsConnection } from '@nats-io/transport-node';
import type { BallermannError } from '../errors.js';
import { subscribe, unsubscribe } from './connection.js';
import type { Fleet } from './fleet-members.js';
import { acknowledgementSubject } from './keys.js';
import type { Acknowledgement } from './member-window.js';
import { Wake } from './wake.js';
import { objectIn } from './wire.js';

/** Who has said that nothing runs there any more. */
export class Acknowledgements {
  readonly #fleet: Fleet;
  readonly #from = new Set<string>();
  readonly #changed = new Wake();
  readonly #close: () => void;
  #id: string | undefined;

  /** @param refused called where they cannot be heard. */
  constructor(nc: NatsConnection, pool: string, fleet: Fleet, refused: (error: BallermannError) => void) {
    this.#fleet = fleet;
    const subject = acknowledgementSubject(pool);
    const subscription = subscribe(nc, subject, (message) => this.#hear(message.data), { refused });
    const off = fleet.onGone(() => this.#changed.wake());
    this.#close = () => {
      off();
      unsubscribe(subscription);
    };
  }

  of(id: string): void {
    this.#id = id;
  }

  get isComplete(): boolean {
    return this.#absent().length === 0;
  }

  /** Resolves when each member that is there has acknowledged. One whose heartbeat has lapsed is waited for no longer. */
  async complete(): Promise<void> {
    while (!this.isComplete) await this.#changed.next();
  }

  missing(): string {
    const absent = this.#absent().map(({ host, pid, id }) => `${host} (pid ${pid}, member ${id})`);
    return absent.length === 0
      ? 'it is not known who is there'
      : `not acknowledged by ${absent.length} of ${this.#fleet.members().length} members: ${absent.join(', ')}`;
  }

  close(): void {
    this.#close();
    this.#changed.wake();
  }

  #absent(): ReturnType<Fleet['members']> {
    return this.#fleet.members().filter(({ id }) => !this.#from.has(id));
  }

  #hear(bytes: Uint8Array): void {
    const { member, id } = (objectIn(bytes) ?? {}) as Partial<Acknowledgement>;
    if (id === undefined || id !== this.#id || typeof member !== 'string') return; // of another window, or of somebody else
    this.#from.add(member);
    this.#changed.wake();
  }
}
