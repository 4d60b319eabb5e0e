/**
 * The primary's end of one replica: its process, its slot, its channel, and the messages it has not finished.
 * It learns of the death first, and sees to it that every message then settles or goes elsewhere.
 */

import type { Worker } from 'node:cluster';
import { hrtime } from 'node:process';
import type { Codec } from '../../channel/codec.js';
import { ENTRY_WEIGHT, fixed, Outbox } from '../../channel/outbox.js';
import {
  eachOf,
  isOurs,
  isToPrimary,
  join,
  PROTOCOL_VERSION,
  type Request,
  type ToPrimary,
  type ToReplica,
  unpack,
} from '../../channel/protocol.js';
import { BallermannError, type ErrorData, fromErrorData } from '../../errors.js';
import { isAtMost } from '../../memory/counts.js';
import type { Segment } from '../../memory/segment.js';
import { Slot } from '../../memory/slot.js';
import { Utilization } from '../../memory/utilization.js';
import { guard } from './channel-guard.js';
import type { Carrier, Message } from './message.js';

/** How a replica ended. Exactly one of code and signal is set, as for a child process. */
export interface ExitInfo {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What was thrown, where the replica ended by an uncaught error. */
  readonly error: Error | undefined;
}

/** What the owner of a replica (its supervisor) is told. Each is called at most once, but for `castFailed`. */
export interface ReplicaOwner {
  ready(replica: ReplicaProcess): void;
  exited(replica: ReplicaProcess, exit: ExitInfo): void;
  /** The replica got a SIGTERM of its own. */
  leaving(replica: ReplicaProcess, reason: string): void;
  castFailed(error: BallermannError): void;
  /** A message of the replica's own, for the primary to relay. */
  requested(replica: ReplicaProcess, request: Request): void;
  /** The replica has stopped waiting for its request. */
  withdrawn(replica: ReplicaProcess, id: number): void;
}

/** Counters that outlive a replica: one set a supervisor. */
export interface Counters {
  /** Answers that came after their caller had stopped waiting. */
  late: number;
  /** Entries or envelopes that did not fit the protocol. */
  malformed: number;
}

/** What a look at a replica shows. */
export interface Sight {
  /** When its event loop began the turn that it is in (monotonic ns); 0 while it waits for work. */
  readonly busySince: bigint;
  /** Changes whenever the loop begins or ends a wait. */
  readonly idle: bigint;
  /** Calls, casts or pings that were sent to it and that it has not taken, or not answered. */
  readonly isOwed: boolean;
  /** Messages that it has taken. */
  readonly taken: number;
  /** What it has sent over its channel, counted: nobody else can do that in its name. */
  readonly heard: number;
}

/** Where a replica has its place, and what its slot is told of its supervisor. */
export interface ReplicaPlace {
  readonly segment: Segment;
  readonly slot: number;
  readonly incarnation: number;
  readonly codec: Codec;
  readonly windows: number;
  readonly blockedAfter: number;
  readonly maxQueueLength: number;
}

/** How long the end of the channel and the exit may be apart: what the replica had sent is read before its end. */
const LAST_WORDS = 1000; // ms

export class ReplicaProcess implements Carrier {
  readonly pid: number;
  readonly slot: number;
  readonly incarnation: number;
  readonly codec: Codec;
  /** Resolves once the process is gone and every message it had is settled or redirected. Never rejects. */
  readonly gone: Promise<ExitInfo>;
  /** Resolves as soon as the process is seen gone. Never rejects. */
  readonly dead: Promise<ExitInfo>;
  /** Whether it had to be killed because it did not stop in time. */
  killed = false;

  readonly #worker: Worker;
  readonly #owner: ReplicaOwner;
  readonly #counters: Counters;
  readonly #outbox: Outbox<ToReplica>;
  readonly #inFlight = new Map<number, Message>();
  readonly #slot: Slot;
  #state: 'starting' | 'up' | 'stopping' | 'dead' = 'starting';
  #lastId = 0;
  #departed = 0;
  /** Messages that have come over the channel. */
  #heard = 0;
  /** It has said hello, so that what is sent to it reaches it. */
  #greeted = false;
  #blocked = false;
  #utilization: Utilization | undefined;
  #crash: Error | undefined;
  #exit: ExitInfo | undefined;
  #taken = 0;
  #channelOpen = true;
  #lastWords: NodeJS.Timeout | undefined;
  #resolveDead!: (exit: ExitInfo) => void;
  #resolveGone!: (exit: ExitInfo) => void;

  constructor(
    worker: Worker,
    { segment, slot, incarnation, codec, windows, blockedAfter, maxQueueLength }: ReplicaPlace,
    owner: ReplicaOwner,
    counters: Counters,
  ) {
    this.pid = worker.process.pid as number;
    this.slot = slot;
    this.incarnation = incarnation;
    this.codec = codec;
    this.#worker = worker;
    this.#owner = owner;
    this.#counters = counters;
    this.#outbox = new Outbox<ToReplica>(worker.process, join, true);
    this.dead = new Promise((resolve) => {
      this.#resolveDead = resolve;
    });
    this.gone = new Promise((resolve) => {
      this.#resolveGone = resolve;
    });

    this.#slot = new Slot(segment, slot);
    this.#slot.occupy({ pid: this.pid, incarnation, windows, blockedAfter, maxQueueLength });

    guard(worker.process, {
      isOverfull: () => this.#outbox.isOverfull,
      malformed: () => counters.malformed++,
      broken: (cause) => this.#broken(cause),
    });
    worker.process.on('internalMessage', (message: unknown) => this.#receive(message));
    worker.on('listening', () => this.#ready());
    worker.on('error', (error) => this.#failed(error));
    worker.on('exit', (code, signal) => this.#exited(code, signal as NodeJS.Signals | null));
    worker.process.on('disconnect', () => this.#disconnected());
  }

  get state(): 'starting' | 'up' | 'stopping' | 'dead' {
    return this.#state;
  }

  /** How it ended; undefined while it has not. */
  get exit(): ExitInfo | undefined {
    return this.#exit;
  }

  /** Open windows over the supervisor: the replica's servers begin no request while there is one. */
  set windows(count: number) {
    if (this.#state !== 'dead') this.#slot.windows = count; // else the slot is another's
  }

  /** Unfinished messages at which its servers accept no connection. */
  set maxQueueLength(length: number) {
    if (this.#state !== 'dead') this.#slot.maxQueueLength = length; // else the slot is another's
  }

  /** Its event loop does not turn: it is in no rotation. For one that is up. */
  get blocked(): boolean {
    return this.#blocked;
  }

  set blocked(blocked: boolean) {
    this.#blocked = blocked;
    this.#slot.serving = !blocked;
  }

  /** What can be seen of its event loop now. */
  look(): Sight {
    const { busySince, idle, taken } = this.#slot;
    const isOwed = this.#greeted && this.#inFlight.size > 0;
    return { busySince, idle, isOwed, taken, heard: this.#heard };
  }

  /** Asks for a sign of life, which wakes an event loop that waits. */
  probe(): void {
    this.post(['probe']);
  }

  /** 0 to 1, over the last second or more. For one that is or was up. */
  eventLoopUtilization(): number {
    return this.#utilization?.look(this.#slot.idle, hrtime.bigint()) ?? 0;
  }

  /** Messages that the replica has not finished. */
  get unfinished(): number {
    return this.#inFlight.size;
  }

  /** Calls, casts and requests that it has begun. What it says itself: it may say anything. */
  get served(): number {
    return this.#slot.served;
  }

  /** Bytes of memory that it has, as it says itself; 0 where it was not asked. */
  get rss(): number {
    return this.#slot.rss;
  }

  /** For `waitReady: false`. */
  readyWhenOnline(): void {
    this.#worker.once('online', () => this.#ready());
  }

  /** False where the replica cannot take the message: it is shutting down, or too much waits for it. */
  carry(message: Message): boolean {
    if (this.#state === 'dead' || (this.#state === 'stopping' && message.kind !== 'ping')) return false;
    const id = ++this.#lastId;
    message.carriedBy(this, id);
    const isAlone = this.#inFlight.size === 0;
    this.#inFlight.set(id, message);
    if (!this.#outbox.push(message, isAlone)) {
      this.#inFlight.delete(id);
      return false;
    }
    this.#count();
    return true;
  }

  /** Sends what is no call: never refused, lost where the replica is gone. */
  post(entry: ToReplica, weight: number = ENTRY_WEIGHT): void {
    this.#outbox.post(fixed(entry, weight));
  }

  nextSequence(): number {
    return ++this.#departed;
  }

  abandoned(message: Message, sent: boolean): void {
    if (this.#inFlight.get(message.id) !== message) return;
    if (sent) {
      this.post(['cancel', message.id]); // unfinished until the replica says so
    } else {
      this.#inFlight.delete(message.id);
      this.#outbox.voided(message);
      this.#count();
    }
  }

  /**
   * Asks for an orderly stop: what was sent before is finished, the shutdown hooks run, the process exits.
   * SIGKILL after `grace` ms. Calling it again changes nothing.
   */
  stop(reason: string, grace: number): Promise<ExitInfo> {
    if (this.#state === 'starting') this.kill(); // nothing has gone through it
    if (this.#state === 'up') {
      this.#state = 'stopping';
      this.#slot.serving = false;
      this.#worker.exitedAfterDisconnect = true; // Node's own word for a voluntary exit
      this.post(['stop', reason]);
      const timer = setTimeout(() => {
        this.killed = true;
        this.kill();
      }, grace);
      void this.dead.then(() => clearTimeout(timer));
    }
    return this.gone;
  }

  /** Through the same handle as `kill`. */
  signal(signal: NodeJS.Signals): void {
    this.#worker.process.kill(signal);
  }

  /** SIGKILL, through the handle that knows whether the process is still the one that was forked. */
  kill(): void {
    if (this.#state === 'starting') this.#state = 'stopping'; // a 'ready' that is on its way comes too late
    this.#worker.process.kill('SIGKILL');
  }

  #count(): void {
    if (this.#state !== 'dead') this.#slot.unfinished = this.#inFlight.size; // else the slot is another's
  }

  #receive(message: unknown): void {
    if (!isOurs(message)) return;
    this.#heard++;
    const malformed = unpack(message, isToPrimary, (entry) => this.#take(entry));
    this.#counters.malformed += malformed; // read after #take, which counts as well
  }

  #take(entry: ToPrimary): void {
    switch (entry[0]) {
      case 'hello':
        return this.#hello(entry[1]);
      case 'ready':
        return this.#ready();
      case 'alive':
        return; // to be heard was all
      case 'crash':
        this.#crash = fromErrorData(entry[1]);
        return;
      case 'leave':
        return this.#owner.leaving(this, entry[1]);
      case 'result':
        return eachOf(entry, this.#result);
      case 'failure':
        return this.#fail(entry[1], entry[2]);
      case 'request':
        if (this.#greeted) return this.#owner.requested(this, entry);
        this.#counters.malformed++; // its answer could not be sent
        return;
      case 'cancel':
        return this.#owner.withdrawn(this, entry[1]);
    }
  }

  #hello(version: number): void {
    if (version === PROTOCOL_VERSION) {
      this.#greeted = true;
      this.#outbox.uncork();
      return;
    }
    this.#crash = new BallermannError(
      'ERR_PROTOCOL',
      `the replica speaks protocol ${version}, the primary ${PROTOCOL_VERSION}: install the same ballermann in both`,
    );
    this.kill();
  }

  /** The replica has written something to its channel that is no message. What follows cannot be understood. */
  #broken(cause: Error): void {
    this.#counters.malformed++;
    this.#crash = new BallermannError('ERR_PROTOCOL', 'the channel of the replica carried no message', {
      cause,
    });
    this.kill();
  }

  #ready(): void {
    if (this.#state !== 'starting') return;
    this.#state = 'up';
    this.#slot.serving = true;
    this.#utilization = new Utilization(this.#slot.idle, hrtime.bigint());
    this.#owner.ready(this);
  }

  /** The message that `id` stood for, no longer in flight; undefined where the replica made the id up. */
  #finished(id: number): Message | undefined {
    const message = this.#inFlight.get(id);
    if (message?.sequence === undefined) {
      this.#counters.malformed++;
      return undefined;
    }
    this.#inFlight.delete(id);
    this.#count();
    if (message.settled) this.#counters.late++;
    return message;
  }

  readonly #result = (_tag: 'result', id: number, payload: unknown): void => {
    this.#finished(id)?.resolve(payload, this.codec);
  };

  #fail(id: number, data: ErrorData): void {
    const message = this.#finished(id);
    if (message === undefined) return;
    const cause = fromErrorData(data);
    const text = `replica ${this.pid}: ${data.name}: ${data.message}`;
    const error = new BallermannError('ERR_REMOTE', text, {
      cause,
      pid: this.pid,
    });
    if (message.kind === 'cast') this.#owner.castFailed(error);
    message.reject(error);
  }

  /** An error of the process handle itself: the channel broke. */
  #failed(error: Error): void {
    this.#crash ??= error;
  }

  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#exit !== undefined) return;
    clearTimeout(this.#lastWords);
    this.#state = 'dead';
    this.#exit = { code, signal, error: this.#crash };
    this.#taken = this.#slot.taken;
    this.#slot.clear();
    this.#resolveDead(this.#exit);
    this.#owner.exited(this, this.#exit);
    if (!this.#channelOpen) this.#settleAll();
    else this.#lastWords = setTimeout(() => this.#settleAll(), LAST_WORDS);
  }

  #disconnected(): void {
    this.#channelOpen = false;
    if (this.#exit !== undefined) this.#settleAll();
    else if (this.#state === 'starting')
      this.#lastWords = setTimeout(() => this.kill(), LAST_WORDS); // mostly exits itself
    else this.#owner.leaving(this, 'disconnect');
  }

  #settleAll(): void {
    if (this.#exit === undefined) return;
    clearTimeout(this.#lastWords);
    this.#outbox.close();
    const left = [...this.#inFlight.values()];
    this.#inFlight.clear();
    for (const message of left) this.#orphaned(message, this.#exit);
    this.#resolveGone(this.#exit);
  }

  /** The replica is gone without an answer: the next one gets the message, if this one surely never began it. */
  #orphaned(message: Message, { code, signal, error }: ExitInfo): void {
    if (message.settled) return;
    const how = signal === null ? `exited with code ${code}` : `was killed by ${signal}`;
    const death = new BallermannError('ERR_REPLICA_DIED', `replica ${this.pid} ${how} before it answered`, {
      pid: this.pid,
      exitCode: code,
      signal,
      cause: error,
    });
    if (message.kind === 'ping' || message.route === undefined) return message.reject(death);
    if (message.idempotent || !this.#mayHaveBegun(message)) message.route.redirect(message);
    else message.reject(death);
  }

  /** Whether the replica had taken the message out of its mailbox; counted in its slot, modulo 2^32. */
  #mayHaveBegun(message: Message): boolean {
    return message.sequence !== undefined && isAtMost(message.sequence, this.#taken);
  }
}
