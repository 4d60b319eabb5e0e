/** The messages that a pool keeps: for the end of a window, or for a replica where there is none just now. */

import { MAX_ITEMS, MAX_WAITING } from '../../channel/outbox.js';
import type { Custodian, Message } from '../replicas/message.js';

export class Held {
  readonly #why: () => string;
  #messages = new Set<Message>();
  #weight = 0;

  /** What a message needs of whoever has it: one whose caller has gone is forgotten. */
  readonly #custodian: Custodian = {
    nextSequence: () => 0, // nothing goes out from here
    returnSequence() {},
    unwritten() {},
    find: () => ({ text: this.#why() }),
    abandoned: (message) => {
      if (this.#messages.delete(message)) this.#weight -= message.weight;
    },
  };

  /** @param why the messages are kept, for the error of a caller who has waited in vain. */
  constructor(why: () => string) {
    this.#why = why;
  }

  get size(): number {
    return this.#messages.size;
  }

  /** False where that would be more than may wait; the message was not taken then. */
  add(message: Message): boolean {
    if (this.size >= MAX_ITEMS || this.#weight + message.weight > MAX_WAITING) return false;
    this.#messages.add(message);
    this.#weight += message.weight;
    message.entrustedTo(this.#custodian, 0);
    return true;
  }

  /** All of them, in the order in which they came; none is held any more. */
  take(): Iterable<Message> {
    const messages = this.#messages;
    this.#messages = new Set();
    this.#weight = 0;
    return messages;
  }
}
