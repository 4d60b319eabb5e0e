/** One call, cast or ping on its way through the primary: it settles once, whatever happens around it. */

import { offAbort, onAbort } from '../../aborts.js';
import type { Codec, Payload } from '../../channel/codec.js';
import { clearLimit, type Expiring, type Limit, setLimit } from '../../channel/deadlines.js';
import { ENTRY_WEIGHT, type Outgoing } from '../../channel/outbox.js';
import { entryOf, type RequestKind, type ToReplica, tracedEntryOf } from '../../channel/protocol.js';
import { BallermannError } from '../../errors.js';
import type { TraceCarrier } from '../../tracing.js';
import type { Whereabouts } from './whereabouts.js';

/** Whoever waits for the answer: a promise of this process, or a replica that asked for the call. */
export interface Caller {
  /** @param reply as it arrived; `codec` decodes it. */
  resolve(reply: unknown, codec: Codec): void;
  reject(error: unknown): void;
}

/** A pool, as its messages see it. */
export interface Route {
  /** The pool's. */
  readonly name: string;
  readonly codec: Codec;
  /** Takes a new message. @throws what keeps it from being sent. */
  accept(message: Message): void;
  /** Takes a message over from a replica that died before it began it. */
  redirect(message: Message): void;
  /** A call has got its reply, `ms` after it was made. */
  replied(ms: number): void;
}

/** What a message has of its caller's trace. */
export interface MessageTrace {
  /** It travels with the message. */
  readonly carrier: TraceCarrier | undefined;
  /** Called with the replica that is given the message. */
  readonly given?: ((pid: number) => void) | undefined;
}

export interface MessageOptions {
  /** ms; undefined: waits for as long as it takes. */
  readonly timeout: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly idempotent: boolean;
  /** Undefined where nobody traces it. */
  readonly trace?: MessageTrace | undefined;
}

/** What a message needs of whoever has it: the replica that it was given to, or the pool that keeps it. */
export interface Custodian {
  /** Numbers a message that goes out: how many calls and casts have gone before it. */
  nextSequence(): number;
  /** The last one that was numbered has not gone out. */
  returnSequence(): void;
  /** The message can never go out. */
  unwritten(message: Message, error: unknown): void;
  /** The caller has gone; `sent` tells whether the replica has the message. */
  abandoned(message: Message, sent: boolean): void;
  /** Where the message is, for a caller who has waited in vain. */
  find(message: Message): Whereabouts;
}

export class Message implements Outgoing<ToReplica>, Expiring {
  readonly kind: RequestKind;
  readonly weight: number;
  readonly idempotent: boolean;
  readonly route: Route | undefined;
  /** Undefined until the message has gone out to a replica. */
  sequence: number | undefined;
  /** The replica's sequence that this message has. */
  id = 0;
  #payload: unknown;
  #caller: Caller | undefined;
  #custodian: Custodian | undefined;
  #limit: Limit | undefined;
  readonly #abort: { readonly signal: AbortSignal; readonly listener: () => void } | undefined;
  readonly #timeout: number | undefined;
  readonly #trace: MessageTrace | undefined;

  /** @param route undefined for a message to one pid. */
  constructor(
    kind: RequestKind,
    payload: Payload,
    route: Route | undefined,
    caller: Caller,
    { timeout, signal, idempotent, trace }: MessageOptions,
  ) {
    this.kind = kind;
    this.idempotent = idempotent;
    this.route = route;
    this.weight = payload.weight + ENTRY_WEIGHT;
    this.#payload = payload.value;
    this.#trace = trace;
    this.#caller = caller;
    this.#timeout = timeout;
    if (timeout !== undefined) this.#limit = setLimit(this, timeout);
    if (signal !== undefined) {
      const listener = (): void => this.#giveUp(signal.reason);
      onAbort(signal, listener);
      this.#abort = { signal, listener };
    }
  }

  /** Whether the caller has its answer, or has gone. */
  get settled(): boolean {
    return this.#caller === undefined;
  }

  /** Nobody waits for it: there is no point in sending it. */
  get isVoid(): boolean {
    return this.settled;
  }

  entrustedTo(custodian: Custodian, id: number): void {
    this.#custodian = custodian;
    this.id = id;
    this.sequence = undefined;
  }

  /** A replica has it now. */
  givenTo(pid: number): void {
    this.#trace?.given?.(pid);
  }

  depart(): ToReplica | undefined {
    const custodian = this.#custodian;
    if (custodian === undefined || this.settled) return undefined;
    if (this.kind === 'ping') {
      this.sequence = 0;
      return ['ping', this.id];
    }
    this.sequence = custodian.nextSequence();
    const carrier = this.#trace?.carrier;
    return carrier === undefined
      ? entryOf(this.kind, this.id, this.#payload)
      : tracedEntryOf(this.kind, this.id, carrier, this.#payload);
  }

  recall(): void {
    if (this.sequence === undefined) return;
    this.sequence = undefined;
    if (this.kind !== 'ping') this.#custodian?.returnSequence();
  }

  fail(error: unknown): void {
    this.#custodian?.unwritten(this, error);
  }

  /** Takes the message back before anybody waits for it: its caller is told by other means. */
  discard(): void {
    this.#settle();
  }

  /** @param now monotonic ms. */
  resolve(reply: unknown, codec: Codec, now: number): void {
    const limit = this.#limit; // of a call that is waited for: it tells when that began
    if (limit !== undefined) this.route?.replied(now - limit.at + (this.#timeout as number));
    this.#settle()?.resolve(reply, codec);
  }

  reject(error: unknown): void {
    this.#settle()?.reject(error);
  }

  expire(): void {
    const { at } = this.#limit as Limit;
    this.#limit = undefined;
    const timeout = this.#timeout as number;
    const age = Math.round(performance.now() - at + timeout);
    const { text, pid } = this.#custodian?.find(this) ?? { text: 'it was not sent' };
    const pool = this.route === undefined ? '' : ` to pool '${this.route.name}'`;
    const late = `no answer to the ${this.kind}${pool} after ${age} ms (timeout: ${timeout} ms)`;
    this.#giveUp(new BallermannError('ERR_TIMEOUT', `${late}: ${text}`, { pid }));
  }

  /** The caller has gone for a reason of its own. */
  cancel(reason: unknown): void {
    this.#giveUp(reason);
  }

  #giveUp(reason: unknown): void {
    const custodian = this.#custodian;
    const sent = this.sequence !== undefined;
    this.reject(reason);
    custodian?.abandoned(this, sent);
  }

  #settle(): Caller | undefined {
    const caller = this.#caller;
    this.#caller = undefined;
    this.#payload = undefined; // the answer may be long in coming
    if (this.#limit !== undefined) clearLimit(this.#limit);
    this.#limit = undefined;
    if (this.#abort !== undefined) offAbort(this.#abort.signal, this.#abort.listener);
    return caller;
  }
}

/** The caller of a cast, who has not stayed. */
export const nobody: Caller = { resolve() {}, reject() {} };
