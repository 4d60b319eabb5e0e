/**
 * What a replica has been sent: taken in order, run as the handler likes (several at once where it is
 * asynchronous), and a ping answered when all that came before it is finished, requests of the servers included.
 */

import { AsyncResource } from 'node:async_hooks';
import { ById } from '../../channel/by-id.js';
import { type Codec, NOTHING, type Payload } from '../../channel/codec.js';
import type { RequestKind } from '../../channel/protocol.js';
import { type HandleTrace, handled, handles, type TraceCarrier, tracedHandler } from '../../tracing.js';

/** Answers a message, whether it was a call (the caller has it) or a cast (the primary counts it as finished). */
export interface Answers {
  /** @param isAlone nothing else runs. */
  result(id: number, payload: Payload, isAlone: boolean): void;
  failure(id: number, error: unknown): void;
  /** A message is taken out of the mailbox: from now on it may have had its effect. */
  taken(): void;
}

/** What a handler is given beside the message. */
export interface MessageContext {
  /** 'call' if somebody waits for the reply, else 'cast'. */
  readonly kind: 'call' | 'cast';
  /** Aborts when the caller stops waiting: by its time limit, its signal or its death. */
  readonly signal: AbortSignal;
}

/** @returns the reply, or a promise of it. A cast's is dropped. */
export type Handler = (message: never, context: MessageContext) => unknown;

class RunningContext implements MessageContext {
  readonly id: number;
  readonly kind: 'call' | 'cast';
  #controller: AbortController | undefined;
  #aborted = false;

  constructor(id: number, kind: 'call' | 'cast') {
    this.id = id;
    this.kind = kind;
  }

  /** Made when asked for: most handlers do not. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#aborted) this.#controller.abort();
    return this.#controller.signal;
  }

  abort(): void {
    this.#aborted = true;
    this.#controller?.abort();
  }
}

/** What is begun between two pings. */
export interface Stretch {
  unfinished: number;
  /** The ping that came after them; the last stretch has none yet. */
  ping: number | undefined;
  next: Stretch | undefined;
}

/** They are ended by hand: else each costs a finalizer. */
const ENDED_BY_HAND = { requireManualDestroy: true };

/** A message that came, in an asynchronous context of its own: what its handler enters there no other message sees. */
class Delivery extends AsyncResource {
  readonly kind: RequestKind;
  readonly id: number;
  readonly payload: unknown;
  readonly carrier: TraceCarrier | undefined;
  /** Where somebody traces the handler that it was given to. */
  trace: HandleTrace | undefined;

  constructor(kind: RequestKind, id: number, payload: unknown, carrier: TraceCarrier | undefined) {
    super('BALLERMANN_MESSAGE', ENDED_BY_HAND);
    this.kind = kind;
    this.id = id;
    this.payload = payload;
    this.carrier = carrier;
  }
}

/** Whose mailbox it is, for those who trace what is handled. */
export type Addressee = Pick<HandleTrace, 'supervisor' | 'index'>;

export class Mailbox {
  readonly #addressee: Addressee;
  readonly #codec: Codec;
  readonly #answers: Answers;
  /** What runs asynchronously: what a handler does at once nobody can cancel. */
  readonly #running = new ById<RunningContext>();
  readonly #cancelled = new Set<number>();
  #handler: Handler | undefined;
  /** What came before there was a handler. */
  readonly #waiting: Delivery[] = [];
  #first: Stretch = { unfinished: 0, ping: undefined, next: undefined };
  #last: Stretch = this.#first;
  readonly #idle: (() => void)[] = [];
  #stopped = false;

  constructor(addressee: Addressee, codec: Codec, answers: Answers) {
    this.#addressee = addressee;
    this.#codec = codec;
    this.#answers = answers;
  }

  /** A later handler takes the place of an earlier one. @returns whether it is the first. */
  setHandler(handler: Handler): boolean {
    const isFirst = this.#handler === undefined;
    this.#handler = handler;
    if (isFirst) setImmediate(() => this.#deliverWaiting()); // let the script finish its turn
    return isFirst;
  }

  /** @param payload none with a ping. */
  deliver(kind: RequestKind, id: number, payload?: unknown, carrier?: TraceCarrier): void {
    if (this.#stopped && this.#handler === undefined && kind !== 'ping') return;
    if (this.#waiting.length > 0 || (this.#handler === undefined && kind !== 'ping')) {
      this.#waiting.push(new Delivery(kind, id, payload, carrier));
    } else if (kind === 'ping') {
      this.#ping(id);
    } else {
      this.#start(new Delivery(kind, id, payload, carrier));
    }
  }

  /**
   * Begins work that is no message, but that a ping has to wait for just as well.
   * @returns what `finish` is to be given once, when it is over.
   */
  begin(): Stretch {
    this.#last.unfinished++;
    return this.#last;
  }

  finish(stretch: Stretch): void {
    stretch.unfinished--;
    if (stretch === this.#first) this.#settle();
  }

  /** The caller of `id` has gone. */
  cancel(id: number): void {
    this.#running.get(id)?.abort();
    const index = this.#waiting.findIndex((delivery) => delivery.id === id);
    if (index === -1) return;
    if (this.#waiting[index]?.kind === 'ping') this.#waiting.splice(index, 1);
    else this.#cancelled.add(id); // it keeps its turn: messages are counted as taken in the order in which they came
    this.#answers.failure(id, new Error('cancelled before it was begun'));
  }

  /**
   * Resolves when every message is finished that was begun. What still waits for a handler is never begun: the primary
   * sees that when the replica is gone, and sends it to another.
   */
  stop(): Promise<void> {
    this.#stopped = true;
    const waiting = this.#waiting.splice(0);
    for (const { kind, id } of waiting) if (kind === 'ping') this.#ping(id);
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#settle();
    });
  }

  #deliverWaiting(): void {
    for (const delivery of this.#waiting.splice(0)) {
      if (delivery.kind === 'ping') this.#ping(delivery.id);
      else if (this.#cancelled.delete(delivery.id)) this.#answers.taken();
      else this.#start(delivery);
    }
  }

  #start(delivery: Delivery): void {
    const stretch = this.begin();
    this.#answers.taken();
    delivery.runInAsyncScope(this.#run, this, delivery, stretch);
  }

  #run(delivery: Delivery, stretch: Stretch): void {
    const context = new RunningContext(delivery.id, delivery.kind as MessageContext['kind']);
    let reply: unknown;
    let isPending: boolean;
    try {
      reply = handles.hasSubscribers
        ? tracedHandler(this.#traceOf(delivery), () => this.#handle(delivery, context))
        : this.#handle(delivery, context);
      isPending = isThenable(reply);
    } catch (error) {
      return this.#fail(error, delivery, stretch);
    }
    if (isPending) void this.#await(reply, context, delivery, stretch);
    else this.#succeed(reply, delivery, stretch);
  }

  #handle({ payload }: Delivery, context: RunningContext): unknown {
    return this.#handler?.(this.#codec.decode(payload) as never, context);
  }

  #traceOf(delivery: Delivery): HandleTrace {
    const kind = delivery.kind as HandleTrace['kind'];
    delivery.trace = { kind, ...this.#addressee, carrier: delivery.carrier };
    return delivery.trace;
  }

  /** Whatever the reply's `then` does, `await` goes on once. */
  async #await(reply: unknown, context: RunningContext, delivery: Delivery, stretch: Stretch): Promise<void> {
    this.#running.add(context);
    let value: unknown;
    try {
      value = await reply;
    } catch (error) {
      this.#running.delete(context);
      return this.#fail(error, delivery, stretch);
    }
    this.#running.delete(context);
    this.#succeed(value, delivery, stretch);
  }

  #succeed(reply: unknown, delivery: Delivery, stretch: Stretch): void {
    let payload = NOTHING;
    try {
      if (delivery.kind === 'call') payload = this.#codec.encode(reply);
    } catch (error) {
      return this.#fail(error, delivery, stretch); // the reply cannot travel
    }
    this.#answers.result(delivery.id, payload, this.#running.size === 0);
    if (delivery.trace !== undefined) handled(delivery.trace);
    this.#end(delivery, stretch);
  }

  #fail(error: unknown, delivery: Delivery, stretch: Stretch): void {
    this.#answers.failure(delivery.id, error);
    if (delivery.trace !== undefined) handled(delivery.trace, { error });
    this.#end(delivery, stretch);
  }

  #end(delivery: Delivery, stretch: Stretch): void {
    delivery.emitDestroy();
    this.finish(stretch);
  }

  #ping(id: number): void {
    const next: Stretch = { unfinished: 0, ping: undefined, next: undefined };
    this.#last.ping = id;
    this.#last.next = next;
    this.#last = next;
    this.#settle();
  }

  /** Answers the pings of each leading stretch that is finished. */
  #settle(): void {
    while (this.#first.unfinished === 0 && this.#first.next !== undefined) {
      if (this.#first.ping !== undefined)
        this.#answers.result(this.#first.ping, NOTHING, this.#running.size === 0);
      this.#first = this.#first.next;
    }
    if (this.#idle.length > 0 && this.#running.size === 0 && this.#waiting.length === 0)
      for (const resolve of this.#idle.splice(0)) resolve();
  }
}

/** As `await` sees it. @throws what a getter of it throws. */
function isThenable(value: unknown): boolean {
  const mayBe = typeof value === 'function' || (typeof value === 'object' && value !== null);
  return mayBe && typeof (value as { then?: unknown }).then === 'function';
}
