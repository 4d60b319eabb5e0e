/** The caller's side of calls: each goes to some member, to another one while it is refused, and is looked for where no answer comes. */

import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { offAbort, onAbort } from '../aborts.js';
import { badRange } from '../arguments.js';
import { BallermannError } from '../errors.js';
import type { CheckedCallOptions } from '../options.js';
import type { TraceCarrier } from '../tracing.js';
import {
  inboxOf,
  isConnected,
  onClosed,
  onForbidden,
  publish,
  subscribe,
  unsubscribe,
} from './connection.js';
import type { FleetView } from './fleet-members.js';
import { LostCalls, Try } from './lost-calls.js';
import { HEARTBEAT } from './presence.js';
import { callSubject, cancelSubject, memberSubject } from './subjects.js';
import { answerOf, callHeaders, decode, encode } from './wire.js';

/** ms to wait when every member has refused: doubled each time, with jitter. */
const FIRST_WAIT = 5;
const LONGEST_WAIT = 100;

/** ms that are left for a try at least. */
const LAST_TRY = 20;

/** Bytes of headers at most, which count for the server's max_payload. */
const HEADERS = 1024;

/** One call, until it is settled. */
interface Call {
  readonly data: Uint8Array;
  readonly serialization: 'json' | 'advanced';
  readonly idempotent: boolean;
  readonly carrier: TraceCarrier | undefined;
  /** performance.now() */
  readonly until: number;
  readonly timeout: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  timer: NodeJS.Timeout | undefined;
  signal: AbortSignal | undefined;
  onAbort: (() => void) | undefined;
  /** The try that is under way. */
  sent: Sent | undefined;
  /** Members that have refused it since it last waited. */
  refusedBy: Set<string> | undefined;
  /** Why it was refused last. */
  refusal: Error | undefined;
  wait: number;
  /** For the error: whether it waits for the end of a window. */
  isHeld: boolean;
}

/** One try of a call. */
class Sent extends Try {
  readonly call: Call;
  readonly token: string;
  readonly subject: string;
  /** Whom it is meant for; undefined: anybody. */
  readonly member: string | undefined;

  constructor(call: Call, token: string, inbox: string, subject: string, member: string | undefined) {
    super(`${inbox}.${token}`, call.idempotent);
    this.call = call;
    this.token = token;
    this.subject = subject;
    this.member = member;
  }
}

export class FleetCalls {
  readonly #nc: NatsConnection;
  readonly #pool: string;
  readonly #view: FleetView;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  /** By the token of the try. */
  readonly #tries = new Map<string, Sent>();
  /** Those that wait for another try. */
  readonly #waiting = new Set<Call>();
  #next = 0;
  #spoken: 'json' | 'advanced' = 'json';
  /** performance.now() */
  #lookAt = 0;
  readonly #lostCalls: LostCalls<Sent>;
  readonly #offForbidden: () => void;
  readonly #offClosed: () => void;
  #closed: BallermannError | undefined;

  /** Loses no time over each call: one subscription takes the answers of all, in the order in which members gave them. */
  constructor(nc: NatsConnection, pool: string, view: FleetView) {
    this.#nc = nc;
    this.#pool = pool;
    this.#view = view;
    this.#inbox = inboxOf(nc);
    this.#subscription = subscribe(nc, `${this.#inbox}.*`, (message) => this.#hear(message), {
      refused: (error) => this.close(error),
    });
    this.#offForbidden = onForbidden(nc, (subject, error) => this.#forbid(subject, error));
    const tries = (): Sent[] => [...this.#tries.values()];
    this.#lostCalls = new LostCalls(nc, pool, view, this.#inbox, tries, (sent) => this.#lose(sent));
    this.#offClosed = onClosed(nc, () => this.close(disconnected(pool, 'the connection to NATS is closed')));
  }

  /** @throws TypeError, RangeError for what cannot travel. */
  call(
    message: unknown,
    { timeout, signal, idempotent }: CheckedCallOptions,
    carrier: TraceCarrier | undefined,
  ): Promise<unknown> {
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#nc.isClosed()) throw disconnected(this.#pool, 'the connection to NATS is closed');
    const serialization = this.#serialization();
    const data = encode(message, serialization);
    const most = this.#nc.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (data.length + HEADERS > most)
      throw badRange(
        'message',
        `at most ${most - HEADERS} bytes long when serialized: the server takes no more`,
        data.length,
      );
    return new Promise((resolve, reject) => {
      const call: Call = {
        data,
        serialization,
        idempotent,
        carrier,
        until: performance.now() + timeout,
        timeout,
        resolve,
        reject,
        timer: undefined,
        signal,
        onAbort: undefined,
        sent: undefined,
        refusedBy: undefined,
        refusal: undefined,
        wait: FIRST_WAIT,
        isHeld: false,
      };
      call.timer = setTimeout(() => this.#expire(call), timeout);
      if (signal !== undefined) {
        call.onAbort = () => this.#abort(call, signal);
        onAbort(signal, call.onAbort);
      }
      if (this.#view.windowOpen) this.#hold(call);
      else this.#send(call, this.#anybody(), timeout);
    });
  }

  /** The members'. Looked up now and then: there may be hundreds of them. */
  #serialization(): 'json' | 'advanced' {
    const now = performance.now();
    if (now >= this.#lookAt) {
      const serialization = this.#view.members()[0]?.serialization;
      this.#lookAt = serialization === undefined ? 0 : now + HEARTBEAT;
      this.#spoken = serialization ?? 'json';
    }
    return this.#spoken;
  }

  /** Rejects what is under way. Idempotent. */
  close(reason: BallermannError): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    for (const call of [...[...this.#tries.values()].map((sent) => sent.call), ...this.#waiting]) {
      this.#cancel(call);
      this.#settle(call)?.reject(reason);
    }
    this.#lostCalls.close();
    this.#offForbidden();
    this.#offClosed();
    unsubscribe(this.#subscription);
  }

  #send(call: Call, member: string | undefined, left = call.until - performance.now()): void {
    const subject = member === undefined ? callSubject(this.#pool) : memberSubject(this.#pool, member);
    const { idempotent, serialization, carrier } = call;
    const headers = callHeaders({ timeout: left, idempotent, serialization, carrier });
    const sent = new Sent(call, (this.#next++).toString(36), this.#inbox, subject, member);
    const reply = sent.id;
    this.#waiting.delete(call);
    call.sent = sent;
    call.isHeld = false;
    this.#tries.set(sent.token, sent);
    const options = headers === undefined ? { reply } : { reply, headers };
    if (publish(this.#nc, subject, call.data, options)) this.#lostCalls.watch();
    else this.#settle(call)?.reject(disconnected(this.#pool, 'the connection to NATS is closed'));
  }

  #hear(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length + 1);
    const sent = this.#tries.get(token);
    if (sent === undefined) {
      this.#lostCalls.hear(token, message); // else it is settled, or of an earlier try
      return;
    }
    const { call, member } = sent;
    const answer = answerOf(message);
    switch (answer.kind) {
      case 'result':
        this.#resolve(call, answer.data);
        return;
      case 'failed':
        this.#settle(call)?.reject(answer.error);
        return;
      case 'refused':
        call.refusal = answer.error;
        this.#tryAnother(call, answer.member);
        return;
      case 'nobody':
        if (member !== undefined) this.#tryAnother(call, member);
        else if (this.#view.windowOpen) this.#hold(call);
        // Members that the heartbeats show are connecting again: they are waited for until they lapse.
        else if (this.#view.members().length > 0) this.#tryLater(call);
        else this.#settle(call)?.reject(disconnected(this.#pool, 'no machine serves it'));
    }
  }

  #resolve(call: Call, data: Uint8Array): void {
    let value: unknown;
    try {
      value = decode(data, call.serialization);
    } catch (cause) {
      const error = new BallermannError('ERR_PROTOCOL', 'the reply cannot be decoded', { cause });
      this.#settle(call)?.reject(error);
      return;
    }
    this.#settle(call)?.resolve(value);
  }

  #tryAnother(call: Call, refusedBy: string): void {
    this.#forgetTry(call);
    call.refusedBy ??= new Set();
    call.refusedBy.add(refusedBy);
    const next = this.#member(call.refusedBy);
    if (this.#view.windowOpen) this.#hold(call);
    else if (next === undefined) this.#tryLater(call);
    else this.#send(call, next);
  }

  /** Whom a call is for that any member may take: left to the server, unless it could give it to one that is silent. */
  #anybody(): string | undefined {
    return this.#view.hasSilent ? this.#member() : undefined;
  }

  /** One of those that are there, and rather of those that can take a call. */
  #member(except?: ReadonlySet<string>): string | undefined {
    const left = this.#view.members().filter(({ id }) => !except?.has(id));
    const able = left.filter(({ alive, paused }) => alive > 0 && !paused);
    const among = able.length > 0 ? able : left;
    return among[Math.floor(Math.random() * among.length)]?.id;
  }

  #tryLater(call: Call): void {
    this.#forgetTry(call);
    this.#waiting.add(call);
    const wait = call.wait * (0.5 + Math.random() / 2);
    call.wait = Math.min(call.wait * 2, LONGEST_WAIT);
    // A last try that nobody waits for could only make it uncertain whether the call has run.
    if (performance.now() + wait + LAST_TRY > call.until) return;
    setTimeout(() => this.#again(call), wait);
  }

  /** Until the window has ended. */
  #hold(call: Call): void {
    this.#forgetTry(call);
    this.#waiting.add(call);
    call.isHeld = true;
    this.#view.windowEnded(NEVER).then(
      () => this.#again(call),
      () => this.#tryLater(call),
    );
  }

  #again(call: Call): void {
    if (!this.#waiting.has(call)) return;
    call.refusedBy = undefined;
    if (this.#view.windowOpen) this.#hold(call);
    else this.#send(call, this.#anybody());
  }

  #forgetTry(call: Call): void {
    if (call.sent !== undefined) this.#tries.delete(call.sent.token);
    call.sent = undefined;
  }

  /** @returns whom to tell; undefined where that is done. */
  #settle(call: Call): Pick<Call, 'resolve' | 'reject'> | undefined {
    const isWaiting = this.#waiting.delete(call);
    if (call.sent === undefined && !isWaiting) return undefined;
    this.#forgetTry(call);
    clearTimeout(call.timer);
    if (call.signal !== undefined && call.onAbort !== undefined) offAbort(call.signal, call.onAbort);
    return call;
  }

  #abort(call: Call, signal: AbortSignal): void {
    this.#cancel(call);
    this.#settle(call)?.reject(signal.reason);
  }

  /** At whichever member has it. */
  #cancel({ sent }: Call): void {
    if (sent !== undefined) publish(this.#nc, cancelSubject(this.#pool), sent.id);
  }

  #expire(call: Call): void {
    const { timeout, sent, refusal, isHeld } = call;
    const code = refusal instanceof BallermannError && sent === undefined ? refusal.code : undefined;
    const late = `no answer to the call to the fleet's pool '${this.#pool}' within ${timeout} ms`;
    const settled = this.#settle(call);
    if (isHeld || code === 'ERR_PAUSED') {
      settled?.reject(new BallermannError('ERR_TIMEOUT', `${late}: a maintenance window held it`));
    } else if (code !== undefined) {
      const text = `every machine has refused the call for ${timeout} ms: ${refusal?.message}`;
      const overload = code === 'ERR_OVERLOAD';
      settled?.reject(
        new BallermannError(overload ? 'ERR_OVERLOAD' : 'ERR_DISCONNECTED', text, { cause: refusal }),
      );
    } else {
      const where = sent === undefined ? 'it waited for a machine' : 'it was sent, and may be running';
      const network = isConnected(this.#nc) ? '' : '. The connection to NATS is down';
      settled?.reject(new BallermannError('ERR_TIMEOUT', `${late}: ${where}${network}`));
    }
  }

  /** Nobody will answer it. */
  #lose({ call, token }: Sent): void {
    if (call.sent?.token !== token) return;
    if (call.idempotent)
      this.#tryLater(call); // what an earlier try still answers is nobody's
    else this.#settle(call)?.reject(lost(this.#pool));
  }

  /** The server has not sent it to anybody. */
  #forbid(subject: string, error: BallermannError): void {
    for (const sent of [...this.#tries.values()])
      if (sent.subject === subject) this.#settle(sent.call)?.reject(error);
  }
}

/** Its calls are settled by their own means. */
const NEVER = new AbortController().signal;

function disconnected(pool: string, why: string): BallermannError {
  return new BallermannError('ERR_DISCONNECTED', `the fleet's pool '${pool}' cannot be reached: ${why}`);
}

function lost(pool: string): BallermannError {
  const text =
    `the call to the fleet's pool '${pool}' was lost: the machine that had it is gone, or it never arrived; ` +
    'it may have run. Pass idempotent: true for calls that may run twice';
  return new BallermannError('ERR_REPLICA_DIED', text);
}
