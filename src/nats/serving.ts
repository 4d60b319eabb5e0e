/** The calls that a member takes from the fleet: refused before they begin, or given to its pool and answered once. */

import { hostname } from 'node:os';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import type { Codec } from '../channel/codec.js';
import { deferred } from '../deferred.js';
import { BallermannError } from '../errors.js';
import type { Balancer } from '../primary/pools/balancer.js';
import type { Caller, Message } from '../primary/replicas/message.js';
import { send } from '../primary/replicas/messaging.js';
import { within } from './buckets.js';
import { onClosed, publish, subscribe, unsubscribe } from './connection.js';
import type { MemberState } from './presence.js';
import { askSubject, callSubject, cancelSubject, memberSubject, QUEUE } from './subjects.js';
import { type CallMeta, callMeta, decode, encode, errorMessage, objectIn } from './wire.js';

export interface ServingOptions {
  /** Calls that are begun and unanswered at most; undefined: PER_REPLICA for each replica in rotation. */
  readonly maxUnfinished: number | undefined;
}

const PER_REPLICA = 1024;

/** Characters of an error's text that `$SRV.STATS` shows. */
const LAST_ERROR = 200;

const HERE = `on ${hostname()}`;

/** The local pool says so of a call that it has not begun, or that may run twice. */
const NOT_BEGUN: ReadonlySet<string> = new Set(['ERR_OVERLOAD', 'ERR_DISCONNECTED', 'ERR_CLOSED']);

/** What `$SRV.STATS` tells. */
export interface Tally {
  requests: number;
  errors: number;
  lastError: string;
  /** ms */
  processing: number;
}

export class Serving {
  readonly tally: Tally = { requests: 0, errors: 0, lastError: '', processing: 0 };
  readonly #nc: NatsConnection;
  readonly #balancer: Balancer;
  readonly #id: string;
  readonly #options: ServingOptions;
  readonly #isHeld: () => boolean;
  /** By reply subject, which is the id of a try. */
  readonly #unfinished = new Map<string, Message>();
  readonly #calls: Subscription[];
  readonly #others: Subscription[];
  /** Why it cannot serve. */
  #refused: BallermannError | undefined;
  #leaving = false;
  readonly #idle = deferred();

  /** @param isHeld whether a window over the fleet is, or may be, open. */
  constructor(
    nc: NatsConnection,
    balancer: Balancer,
    id: string,
    options: ServingOptions,
    isHeld: () => boolean,
  ) {
    this.#nc = nc;
    this.#balancer = balancer;
    this.#id = id;
    this.#options = options;
    this.#isHeld = isHeld;
    const { name } = balancer;
    const refused = (error: BallermannError): void => {
      this.#refused ??= error;
    };
    this.#others = [
      subscribe(nc, cancelSubject(name), (message) => this.#cancel(message), { refused }),
      subscribe(nc, askSubject(name, id), (message) => this.#tellWhatIsHere(message), { refused }),
    ];
    const take = (message: Msg): void => this.#take(message);
    this.#calls = [
      subscribe(nc, memberSubject(name, id), take, { refused }),
      subscribe(nc, callSubject(name), take, { queue: QUEUE, refused }),
    ];
  }

  /** Resolves once the server has heard that it serves. @throws BallermannError ERR_DISCONNECTED where it may not. */
  async begun(): Promise<void> {
    await this.#nc.flush();
    if (this.#refused !== undefined) throw this.#refused;
  }

  state(): MemberState {
    const { standing, route } = this.#balancer;
    return {
      ...standing,
      paused: standing.paused || this.#isHeld(),
      unfinished: this.#unfinished.size,
      host: hostname(),
      pid: process.pid,
      serialization: route.codec.serialization,
    };
  }

  /**
   * Takes no more calls, and resolves when those that were begun are answered. The server is told first; what it had sent
   * before it knew still comes in, is refused, and so goes to another member.
   */
  async leave(): Promise<void> {
    this.#leaving = true;
    // A drained subscription hears what is on its way, and no more. Whether handlers are done is not its matter.
    await this.#settle(Promise.all(this.#calls.map((subscription) => subscription.drain())));
    const stop = onClosed(this.#nc, this.#idle.resolve);
    if (this.#unfinished.size > 0) await this.#idle.promise;
    stop();
    await this.#settle(this.#nc.isClosed() ? Promise.resolve() : this.#nc.flush());
    for (const one of this.#others) unsubscribe(one);
  }

  /** The server may be out of reach: then nothing comes from it either. */
  async #settle(task: Promise<unknown>): Promise<void> {
    await within(task).catch(() => {});
  }

  #take(request: Msg): void {
    const { reply } = request;
    if (!reply || this.#unfinished.has(reply)) return; // nobody could be answered
    this.tally.requests++;
    const refusal = this.#refusal();
    if (refusal !== undefined) this.#fail(reply, refusal, true);
    else this.#begin(request, reply, callMeta(request));
  }

  #refusal(): BallermannError | undefined {
    const { name, standing } = this.#balancer;
    const { alive, paused } = standing;
    const at = HERE;
    if (this.#leaving) return new BallermannError('ERR_CLOSED', `pool '${name}' ${at} is leaving the fleet`);
    if (paused || this.#isHeld())
      return new BallermannError('ERR_PAUSED', `pool '${name}' ${at} is paused by a maintenance window`);
    if (alive === 0) return new BallermannError('ERR_DISCONNECTED', `pool '${name}' ${at} has no replica`);
    const { maxUnfinished = alive * PER_REPLICA } = this.#options;
    if (this.#unfinished.size < maxUnfinished) return undefined;
    const text = `pool '${name}' ${at} is full: it has ${maxUnfinished} unfinished calls of the fleet`;
    return new BallermannError('ERR_OVERLOAD', text);
  }

  #begin(request: Msg, reply: string, { serialization, timeout, idempotent, carrier }: CallMeta): void {
    const began = performance.now();
    const end = (): void => {
      this.tally.processing += performance.now() - began;
      this.#unfinished.delete(reply);
      if (this.#leaving && this.#unfinished.size === 0) this.#idle.resolve();
    };
    const caller: Caller = {
      resolve: (value: unknown, codec: Codec) => {
        end();
        try {
          publish(this.#nc, reply, encode(codec.decode(value), serialization));
        } catch (cause) {
          const text = `the reply of pool '${this.#balancer.name}' cannot travel: ${(cause as Error).message}`;
          this.#fail(reply, new BallermannError('ERR_REMOTE', text, { cause }));
        }
      },
      reject: (error) => {
        end();
        this.#fail(reply, error);
      },
    };
    try {
      const options = { timeout, idempotent, signal: undefined, trace: carrier && { carrier } };
      const value = decode(request.data, serialization);
      // The caller's side is what is traced: a replica's handler follows from that directly.
      const message = send('call', this.#balancer.route, value, caller, options);
      if (!message.settled) this.#unfinished.set(reply, message);
    } catch (error) {
      this.#fail(reply, error);
    }
  }

  #fail(reply: string, error: unknown, refused = isRefusal(error)): void {
    if (error === CANCELLED) return;
    if (!refused) {
      this.tally.errors++;
      this.tally.lastError = String((error as Error)?.message).slice(0, LAST_ERROR);
    }
    const { headers, data } = errorMessage(error, refused ? this.#id : undefined);
    try {
      publish(this.#nc, reply, data, { headers });
    } catch (cause) {
      const text = `an error of pool '${this.#balancer.name}' cannot travel: ${(cause as Error).message}`;
      const { headers, data } = errorMessage(new BallermannError('ERR_REMOTE', text), undefined);
      publish(this.#nc, reply, data, { headers });
    }
  }

  #cancel({ data }: Msg): void {
    this.#unfinished.get(Buffer.from(data).toString())?.cancel(CANCELLED);
  }

  /**
   * Answers which of the calls it has. The answer and the answers of calls go out on one connection, in this order: what it
   * does not name, and had, the caller has heard the end of.
   */
  #tellWhatIsHere({ data, reply }: Msg): void {
    const ids = objectIn(data);
    if (!reply || !Array.isArray(ids)) return; // of somebody else
    publish(this.#nc, reply, JSON.stringify(ids.filter((id) => this.#unfinished.has(id))));
  }
}

/** The caller has gone: it is told nothing. */
const CANCELLED = new Error('the caller has gone');

function isRefusal(error: unknown): boolean {
  return error instanceof BallermannError && NOT_BEGUN.has(error.code);
}
