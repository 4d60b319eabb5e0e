/** The answer to a message. Where it cannot be written, the caller is told that instead. */

import type { Payload } from './codec.js';
import { ENTRY_WEIGHT, type Outgoing } from './outbox.js';
import { entryOf } from './protocol.js';

type Result = ReturnType<typeof entryOf<'result'>>;

export class OutgoingAnswer implements Outgoing<Result> {
  readonly isVoid = false;
  readonly weight: number;
  readonly #id: number;
  readonly #payload: unknown;
  readonly #failed: (id: number, error: unknown) => void;

  /** @param failed sends the failure. */
  constructor(id: number, { value, weight }: Payload, failed: (id: number, error: unknown) => void) {
    this.#id = id;
    this.#payload = value;
    this.weight = weight + ENTRY_WEIGHT;
    this.#failed = failed;
  }

  depart(): Result {
    return entryOf('result', this.#id, this.#payload);
  }

  recall(): void {}

  fail(error: unknown): void {
    this.#failed(this.#id, error);
  }
}
