/** One call, cast or ping on its way through the primary: it settles once, whatever happens around it. */

import { BallermannError } from '../errors.js';
import type { Codec, Payload } from '../wire/codec.js';
import { clearLimit, type Limit, type Limited, setLimit } from '../wire/deadlines.js';
import { ENTRY_WEIGHT, type Outgoing } from '../wire/outbox.js';
import type { RequestKind, ToReplica } from '../wire/protocol.js';

/** Whoever waits for the answer: a promise of this process, or a replica that asked for the call. */
export interface Caller {
  resolve(payload: Payload, codec: Codec): void;
  reject(error: unknown): void;
}

/** A pool, as its messages see it. */
export interface Route {
  readonly codec: Codec;
  /** Takes a new message. @throws what keeps it from being sent. */
  accept(message: Message): void;
  /** Takes a message over from a replica that died before it began it. */
  redirect(message: Message): void;
}

export interface MessageOptions {
  readonly kind: RequestKind;
  readonly payload: Payload;
  readonly codec: Codec;
  /** ms; undefined: waits for as long as it takes. */
  readonly timeout: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly idempotent: boolean;
  /** Undefined for a message to one pid. */
  readonly route: Route | undefined;
  readonly caller: Caller;
}

/** What a message needs of the replica that it was given to. */
export interface Carrier {
  readonly codec: Codec;
  /** Numbers a message that goes out: how many calls and casts have gone before it. */
  nextSequence(): number;
  /** The caller has gone; `sent` tells whether the replica has the message. */
  abandoned(message: Message, sent: boolean): void;
}

export class Message implements Outgoing<ToReplica>, Limited {
  readonly kind: RequestKind;
  readonly weight: number;
  readonly idempotent: boolean;
  readonly route: Route | undefined;
  /** Undefined until the message has gone out to a replica. */
  sequence: number | undefined;
  /** The replica's sequence that this message has. */
  id = 0;
  #payload: Payload;
  #codec: Codec;
  #caller: Caller | undefined;
  #carrier: Carrier | undefined;
  #limit: Limit | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #timeout: number | undefined;

  constructor(options: MessageOptions) {
    this.kind = options.kind;
    this.idempotent = options.idempotent;
    this.route = options.route;
    this.weight = options.payload.length + ENTRY_WEIGHT;
    this.#payload = options.payload;
    this.#codec = options.codec;
    this.#caller = options.caller;
    this.#timeout = options.timeout;
    if (options.timeout !== undefined) this.#limit = setLimit(this, options.timeout);
    this.#signal = options.signal;
    options.signal?.addEventListener('abort', this.#onAbort);
  }

  /** Whether the caller has its answer, or has gone. */
  get settled(): boolean {
    return this.#caller === undefined;
  }

  /** Nobody waits for it: there is no point in sending it. */
  get isVoid(): boolean {
    return this.settled;
  }

  carriedBy(carrier: Carrier, id: number): void {
    this.#carrier = carrier;
    this.id = id;
    this.sequence = undefined;
  }

  depart(): ToReplica | undefined {
    const carrier = this.#carrier;
    if (carrier === undefined || this.settled) return undefined;
    if (this.kind === 'ping') {
      this.sequence = 0;
      return ['ping', this.id];
    }
    try {
      const payload = this.#payloadFor(carrier.codec);
      this.sequence = carrier.nextSequence();
      return [this.kind, this.id, payload];
    } catch (error) {
      this.#giveUp(error);
      return undefined;
    }
  }

  /** Takes the message back before anybody waits for it: its caller is told by other means. */
  discard(): void {
    this.#settle();
  }

  resolve(payload: Payload, codec: Codec): void {
    this.#settle()?.resolve(payload, codec);
  }

  reject(error: unknown): void {
    this.#settle()?.reject(error);
  }

  expire(): void {
    this.#limit = undefined;
    this.#giveUp(
      new BallermannError('ERR_TIMEOUT', `no answer to the ${this.kind} within ${this.#timeout} ms`),
    );
  }

  /** The caller has gone for a reason of its own. */
  cancel(reason: unknown): void {
    this.#giveUp(reason);
  }

  readonly #onAbort = (): void => this.#giveUp(this.#signal?.reason);

  #giveUp(reason: unknown): void {
    const carrier = this.#carrier;
    const sent = this.sequence !== undefined;
    this.reject(reason);
    carrier?.abandoned(this, sent);
  }

  #settle(): Caller | undefined {
    const caller = this.#caller;
    this.#caller = undefined;
    this.#payload = ''; // the answer may be long in coming
    if (this.#limit !== undefined) clearLimit(this.#limit);
    this.#limit = undefined;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    return caller;
  }

  /** A relayed message can reach a replica whose supervisor serializes otherwise than the caller's. */
  #payloadFor(codec: Codec): Payload {
    if (codec !== this.#codec) {
      this.#payload = codec.encode(this.#codec.decode(this.#payload));
      this.#codec = codec;
    }
    return this.#payload;
  }
}

/** The caller of a cast, who has not stayed. */
export const nobody: Caller = { resolve() {}, reject() {} };
