/**
 * The primary's end of one replica's channel. What is sent waits until the replica has said hello; what comes is checked,
 * counted and handed on.
 */

import type { ChildProcess } from 'node:child_process';
import type { Payload, Serialization } from '../../channel/codec.js';
import { ENTRY_WEIGHT, fixed, Outbox, type Outgoing } from '../../channel/outbox.js';
import { OutgoingAnswer } from '../../channel/outgoing-answer.js';
import {
  isToPrimary,
  join,
  PROTOCOL_VERSION,
  type ToPrimary,
  type ToReplica,
  unpack,
} from '../../channel/protocol.js';
import { SharedChannel } from '../../channel/shared-channel.js';
import { BallermannError, toErrorData } from '../../errors.js';
import type { ChannelEnds } from './channel-ends.js';
import { guardChannel } from './channel-guard.js';

/** Counters that outlive a replica: one set a supervisor. */
export interface Counters {
  /** Answers that came after their caller had stopped waiting. */
  late: number;
  /** Entries or batches that did not fit the protocol. */
  malformed: number;
}

export interface ChannelListener {
  readonly serialization: Serialization;
  /** An entry that fits the protocol; never 'hello'. */
  take(entry: Exclude<ToPrimary, readonly ['hello', ...unknown[]]>): void;
  /** A message of Node's was dropped. @param what the replica did with it. */
  dropped(what: string): void;
  /** The replica cannot be understood, now or later. */
  broken(error: BallermannError): void;
}

export class ReplicaChannel {
  readonly #shared: SharedChannel<ToReplica>;
  readonly #outbox: Outbox<ToReplica>;
  readonly #counters: Counters;
  readonly #listener: ChannelListener;
  #greeted = false;
  #heard = 0;

  constructor(process: ChildProcess, ends: ChannelEnds, counters: Counters, listener: ChannelListener) {
    this.#shared = new SharedChannel('primary', ends.take(), listener.serialization, {
      take: (batch) => this.#receive(batch),
      broken: (cause) => this.#broken(cause),
    });
    this.#outbox = new Outbox<ToReplica>(this.#shared, join, true);
    this.#counters = counters;
    this.#listener = listener;
    guardChannel(process, {
      malformed: (what) => {
        counters.malformed++;
        listener.dropped(what);
      },
      broken: (cause) => this.#broken(cause),
    });
  }

  /** Whether the replica has said hello, so that what is sent to it reaches it. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /** Messages that have come over the channel. */
  get heard(): number {
    return this.#heard;
  }

  /** As Outbox.push: false where too much waits. */
  push(item: Outgoing<ToReplica>, isAlone: boolean): boolean {
    return this.#outbox.push(item, isAlone);
  }

  /** Sends what is no call: never refused, lost where the replica is gone. */
  post(entry: ToReplica, weight: number = ENTRY_WEIGHT): void {
    this.#outbox.post(fixed(entry, weight));
  }

  /** Answers the replica's request `id`. */
  answer(id: number, payload: Payload): void {
    this.#outbox.post(new OutgoingAnswer(id, payload, this.fail));
  }

  /** The replica's request `id` has failed. */
  readonly fail = (id: number, error: unknown): void => {
    const data = toErrorData(error);
    this.post(['failure', id, data], data.message.length + (data.stack?.length ?? 0) + ENTRY_WEIGHT);
  };

  /** An item that waits no longer wants to go. */
  voided(item: Outgoing<ToReplica>): void {
    this.#outbox.voided(item);
  }

  /** Reads what the replica has written before its end. */
  drain(): void {
    this.#shared.drain();
  }

  /** The replica is gone. */
  close(): void {
    this.#outbox.close();
    this.#shared.close();
  }

  /** Whoever asks and does not read the answers is not read either, until it has read enough. */
  #receive(batch: unknown): boolean {
    this.#heard++;
    const malformed = unpack(batch, isToPrimary, (entry) => this.#take(entry));
    this.#counters.malformed += malformed; // read after #take, which counts as well
    if (!this.#outbox.isOverfull) return true;
    this.#outbox.whenRelieved(() => this.#shared.resume());
    return false;
  }

  #take(entry: ToPrimary): void {
    if (entry[0] === 'hello') this.#hello(entry[1]);
    else if ((entry[0] === 'request' || entry[0] === 'tracedRequest') && !this.#greeted)
      this.#counters.malformed++; // its answer could not be sent
    else this.#listener.take(entry);
  }

  #hello(version: number): void {
    if (version === PROTOCOL_VERSION) {
      this.#greeted = true;
      this.#outbox.uncork();
      return;
    }
    const text = `the replica and the primary have different versions of ballermann (protocol ${version} and ${PROTOCOL_VERSION}): install one in both`;
    this.#listener.broken(new BallermannError('ERR_PROTOCOL', text));
  }

  /** The replica has written something to its channel that is no message. What follows cannot be understood. */
  #broken(cause: Error): void {
    this.#counters.malformed++;
    const text = 'the replica wrote something to its channel that is not a message';
    this.#listener.broken(new BallermannError('ERR_PROTOCOL', text, { cause }));
  }
}
