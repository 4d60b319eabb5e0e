/** The messages that one replica was given and has not finished. When it dies, each settles or goes to another. */

import { ById } from '../../channel/by-id.js';
import type { Codec } from '../../channel/codec.js';
import { foundAt } from '../../channel/turn-clock.js';
import { BallermannError, type ErrorData, fromErrorData, toErrorData } from '../../errors.js';
import { isAtMost } from '../../memory/counts.js';
import { type ExitInfo, howItEnded } from './exit.js';
import type { Custodian, Message } from './message.js';
import type { Counters, ReplicaChannel } from './replica-channel.js';
import { type Custody, inReplica, type Whereabouts } from './whereabouts.js';

export interface InFlightListener {
  /** Another number of them is unfinished now. */
  counted(): void;
  castFailed(error: BallermannError): void;
  /** What can be seen of the replica now. */
  sight(): ReplicaSight;
}

/** What `find` needs to know of the replica. */
export type ReplicaSight = Pick<Custody, 'script' | 'handles' | 'requests' | 'blocked' | 'turn'> & {
  /** How many calls and casts it has taken out of its mailbox, modulo 2^32. */
  readonly taken: number;
};

export class InFlight implements Custodian {
  readonly #pid: number;
  readonly #codec: Codec;
  readonly #channel: ReplicaChannel;
  readonly #counters: Counters;
  readonly #listener: InFlightListener;
  readonly #messages = new ById<Message>();
  #lastId = 0;
  #departed = 0;

  constructor(
    pid: number,
    codec: Codec,
    channel: ReplicaChannel,
    counters: Counters,
    listener: InFlightListener,
  ) {
    this.#pid = pid;
    this.#codec = codec;
    this.#channel = channel;
    this.#counters = counters;
    this.#listener = listener;
  }

  get size(): number {
    return this.#messages.size;
  }

  /** False where too much waits for the replica; the message was not taken then. */
  add(message: Message): boolean {
    const id = ++this.#lastId;
    message.entrustedTo(this, id);
    if (!this.#channel.push(message, this.size === 0)) return false;
    this.#messages.add(message);
    message.givenTo(this.#pid);
    this.#listener.counted();
    return true;
  }

  nextSequence(): number {
    return ++this.#departed;
  }

  returnSequence(): void {
    this.#departed--;
  }

  unwritten(message: Message, cause: unknown): void {
    if (!this.#messages.delete(message)) return;
    this.#listener.counted();
    const text = `the ${message.kind} to replica ${this.#pid} could not be sent: ${toErrorData(cause).message}`;
    const error = new BallermannError('ERR_PROTOCOL', text, { cause, pid: this.#pid });
    if (message.kind === 'cast') this.#listener.castFailed(error);
    message.reject(error);
  }

  abandoned(message: Message, sent: boolean): void {
    if (!this.#messages.has(message)) return;
    if (sent) {
      this.#channel.post(['cancel', message.id]); // unfinished until the replica says so
    } else {
      this.#messages.delete(message);
      this.#channel.voided(message);
      this.#listener.counted();
    }
  }

  find({ kind, sequence }: Message): Whereabouts {
    const { taken, ...sight } = this.#listener.sight();
    const begun = kind !== 'ping' && sequence !== undefined && isAtMost(sequence, taken);
    const stage = begun ? 'begun' : sequence === undefined ? 'waiting' : 'sent';
    const { greeted } = this.#channel;
    return inReplica({ ...sight, kind, stage, pid: this.#pid, greeted, others: this.size - 1 });
  }

  /** The replica has answered. */
  readonly result = (_tag: 'result', id: number, payload: unknown): void => {
    this.#finished(id)?.resolve(payload, this.#codec, foundAt());
  };

  /** The handler threw. */
  fail(id: number, data: ErrorData): void {
    const message = this.#finished(id);
    if (message === undefined) return;
    const cause = fromErrorData(data);
    const text = `the handler of replica ${this.#pid} failed: ${data.name}: ${data.message}`;
    const error = new BallermannError('ERR_REMOTE', text, { cause, pid: this.#pid });
    if (message.kind === 'cast') this.#listener.castFailed(error);
    message.reject(error);
  }

  /**
   * The replica is gone. What it surely never began goes to the next one.
   * @param taken how many calls and casts it had taken out of its mailbox, modulo 2^32.
   */
  settleAll(exit: ExitInfo, taken: number): void {
    for (const message of this.#messages.takeAll()) this.#orphaned(message, exit, taken);
  }

  /** The message that `id` stood for, no longer in flight; undefined where the replica made the id up. */
  #finished(id: number): Message | undefined {
    const message = this.#messages.get(id);
    if (message?.sequence === undefined) {
      this.#counters.malformed++;
      return undefined;
    }
    this.#messages.delete(message);
    this.#listener.counted();
    if (message.settled) this.#counters.late++;
    return message;
  }

  #orphaned(message: Message, exit: ExitInfo, taken: number): void {
    if (message.settled) return;
    const text = `replica ${this.#pid} ${howItEnded(exit)} before it answered`;
    const { code: exitCode, signal, error: cause } = exit;
    const death = new BallermannError('ERR_REPLICA_DIED', text, { pid: this.#pid, exitCode, signal, cause });
    if (message.kind === 'ping' || message.route === undefined) return message.reject(death);
    const mayHaveBegun = message.sequence !== undefined && isAtMost(message.sequence, taken);
    if (message.idempotent || !mayHaveBegun) message.route.redirect(message);
    else message.reject(death);
  }
}
