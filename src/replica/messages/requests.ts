/** The calls, casts and pings that a replica makes: sent to the primary, which makes them on its behalf. */

import { offAbort, onAbort } from '../../aborts.js';
import { checkMessage } from '../../arguments.js';
import { ById } from '../../channel/by-id.js';
import { type Codec, type Payload, unreadableReply } from '../../channel/codec.js';
import { clearLimit, type Expiring, type Limit, setLimit } from '../../channel/deadlines.js';
import { ENTRY_WEIGHT, fixed, type Outbox } from '../../channel/outbox.js';
import { type RequestKind, requestOf, type ToPrimary } from '../../channel/protocol.js';
import { BallermannError, type ErrorData, fromPrimary, targetName } from '../../errors.js';
import type { CheckedCallOptions } from '../../options.js';
import { type CallTrace, calls, type TraceCarrier, traced, tracedNow, validCarrier } from '../../tracing.js';

/**
 * ms that the replica waits longer than the primary, which has the same time limit: its error says where the message is. The
 * one from here says that the primary has said nothing.
 */
const GRACE = 50;

export class Requests {
  readonly #codec: Codec;
  readonly #outbox: Outbox<ToPrimary>;
  readonly #pending = new ById<PendingRequest>();
  #lastId = 0;

  constructor(codec: Codec, outbox: Outbox<ToPrimary>) {
    this.#codec = codec;
    this.#outbox = outbox;
  }

  /** Resolves with the decoded reply. */
  request(
    kind: 'call' | 'ping',
    target: string | number,
    message: unknown,
    options: CheckedCallOptions,
  ): Promise<unknown> {
    checkMessage(message);
    if (!calls.hasSubscribers) return this.#request(kind, target, message, options, undefined);
    const trace = callTrace(kind, target);
    return traced(calls, trace, () =>
      this.#request(kind, target, message, options, kind === 'ping' ? undefined : validCarrier(trace)),
    );
  }

  #request(
    kind: 'call' | 'ping',
    target: string | number,
    message: unknown,
    options: CheckedCallOptions,
    carrier: TraceCarrier | undefined,
  ): Promise<unknown> {
    const payload = this.#codec.encode(message);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const settled = (cancelled: boolean): void => {
        this.#pending.delete(request);
        if (cancelled) this.#outbox.post(fixed(['cancel', id]));
      };
      const what = { kind, target };
      const request = new PendingRequest(id, what, options, { resolve, reject, settled });
      this.#pending.add(request);
      try {
        this.#send(id, kind, target, payload, options, carrier);
      } catch (error) {
        request.reject(error);
      }
    });
  }

  /** @throws TypeError, RangeError, BallermannError ERR_OVERLOAD. */
  cast(target: string | number, message: unknown, options: CheckedCallOptions): void {
    checkMessage(message);
    const send = (carrier?: TraceCarrier): void =>
      this.#send(++this.#lastId, 'cast', target, this.#codec.encode(message), options, carrier);
    if (!calls.hasSubscribers) return send();
    const trace = callTrace('cast', target);
    tracedNow(calls, trace, () => send(validCarrier(trace)));
  }

  result(id: number, payload: unknown): void {
    const request = this.#pending.get(id);
    try {
      request?.resolve(this.#codec.decode(payload));
    } catch (cause) {
      request?.reject(unreadableReply(cause));
    }
  }

  failure(id: number, error: ErrorData): void {
    this.#pending.get(id)?.reject(fromPrimary(error));
  }

  #send(
    id: number,
    kind: RequestKind,
    target: string | number,
    payload: Payload,
    options: CheckedCallOptions,
    carrier: TraceCarrier | undefined,
  ): void {
    const { timeout, idempotent } = options;
    const { value, weight } = payload;
    const request = requestOf([id, kind, target, timeout, idempotent], carrier);
    const entry: ToPrimary = value === undefined ? request : [...request, value];
    const failed = (error: unknown): void => {
      if (kind !== 'cast') this.#pending.get(id)?.reject(error);
      else console.error(`ballermann: a cast to ${targetName(target)} cannot be written and is lost:`, error);
    };
    if (this.#outbox.push(fixed(entry, weight + ENTRY_WEIGHT, failed))) return;
    throw new BallermannError(
      'ERR_OVERLOAD',
      'too many messages wait for the primary, which does not read them fast enough',
    );
  }
}

function callTrace(kind: RequestKind, target: string | number): CallTrace {
  return typeof target === 'string'
    ? { kind, pool: target, pid: undefined }
    : { kind, pool: undefined, pid: target };
}

/** What was asked of whom, for an error. */
interface Asked {
  readonly kind: 'call' | 'ping';
  readonly target: string | number;
}

interface Caller {
  resolve(reply: unknown): void;
  reject(error: unknown): void;
  /** Called first. `cancelled`: by this side, so the primary must be told. */
  settled(cancelled: boolean): void;
}

/** One request whose caller waits; settles once. */
class PendingRequest implements Expiring {
  readonly id: number;
  readonly #what: Asked;
  readonly #timeout: number;
  readonly #signal: AbortSignal | undefined;
  readonly #caller: Caller;
  readonly #limit: Limit;

  constructor(id: number, what: Asked, { timeout, signal }: CheckedCallOptions, caller: Caller) {
    this.id = id;
    this.#what = what;
    this.#timeout = timeout;
    this.#signal = signal;
    this.#caller = caller;
    this.#limit = setLimit(this, timeout + GRACE);
    if (signal !== undefined) onAbort(signal, this.#onAbort);
  }

  resolve(reply: unknown): void {
    this.#settle(false);
    this.#caller.resolve(reply);
  }

  reject(error: unknown): void {
    this.#settle(false);
    this.#caller.reject(error);
  }

  expire(): void {
    const { kind, target } = this.#what;
    const text = `no answer to the ${kind} to ${targetName(target)} within ${this.#timeout} ms: the primary has not replied; its event loop may be blocked`;
    this.#cancel(new BallermannError('ERR_TIMEOUT', text));
  }

  readonly #onAbort = (): void => this.#cancel(this.#signal?.reason);

  #cancel(reason: unknown): void {
    this.#settle(true);
    this.#caller.reject(reason);
  }

  #settle(cancelled: boolean): void {
    clearLimit(this.#limit);
    if (this.#signal !== undefined) offAbort(this.#signal, this.#onAbort);
    this.#caller.settled(cancelled);
  }
}
