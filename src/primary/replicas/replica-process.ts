/**
 * The primary's end of one replica: its process, its slot, its state from start to exit. It learns of the death first, and
 * sees to it that every message then settles or goes elsewhere.
 */

import type { Worker } from 'node:cluster';
import { hrtime } from 'node:process';
import type { Codec, Payload } from '../../channel/codec.js';
import { ENTRY_WEIGHT } from '../../channel/outbox.js';
import { keepConnected } from '../../channel/pipe.js';
import { eachOf, type RequestEntry, type ToReplica } from '../../channel/protocol.js';
import { READY_MESSAGE } from '../../channel/readiness.js';
import { deferred } from '../../deferred.js';
import { type BallermannError, fromErrorData } from '../../errors.js';
import type { Segment } from '../../memory/segment.js';
import { Slot } from '../../memory/slot.js';
import { Utilization } from '../../memory/utilization.js';
import type { ChannelEnds } from './channel-ends.js';
import type { ExitInfo } from './exit.js';
import { InFlight } from './in-flight.js';
import type { Lifeline } from './lifeline.js';
import type { Message } from './message.js';
import { type ChannelListener, type Counters, ReplicaChannel } from './replica-channel.js';
import type { Totals } from './totals.js';

/** What the owner of a replica (its supervisor) is told. Each is called at most once, but for `castFailed`. */
export interface ReplicaOwner {
  ready(replica: ReplicaProcess): void;
  exited(replica: ReplicaProcess, exit: ExitInfo): void;
  /** It was to be killed, and lives: it is stopped, and the primary has no right to signal it. Nobody need wait for it. */
  stuck(replica: ReplicaProcess): void;
  /** The replica was asked to go, by a SIGTERM or by one of node:cluster's own verbs. */
  leaving(replica: ReplicaProcess, reason: string): void;
  castFailed(error: BallermannError): void;
  /** The replica has done `what`, which Node's own primary could not take: that message was dropped. */
  dropped(replica: ReplicaProcess, what: string): void;
  /** A message of the replica's own, for the primary to relay. */
  requested(replica: ReplicaProcess, request: RequestEntry): void;
  /** The replica has stopped waiting for its request. */
  withdrawn(replica: ReplicaProcess, id: number): void;
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
  /** File name of the script, for error texts. */
  readonly script: string;
  readonly windows: number;
  readonly blockedAfter: number;
  readonly maxQueueLength: number;
  readonly lifeline: Lifeline;
  readonly ends: ChannelEnds;
}

/** How long a replica that is still starting may outlive its IPC channel of Node's. */
const WITHOUT_CHANNEL = 1000; // ms

/** How long a replica that the primary may not signal has to end itself. */
const OWN_END = 1000; // ms

/** When everything has been read that was in a pipe by now. */
function afterPoll(then: () => void): void {
  setImmediate(() => setImmediate(then)); // the first may belong to the turn that has polled already
}

export class ReplicaProcess {
  readonly pid: number;
  readonly slot: number;
  readonly incarnation: number;
  readonly codec: Codec;
  /** What it was given and has not finished. */
  readonly inFlight: InFlight;
  /** Whether it had to be killed because it did not stop in time. False where there was no time: `grace` 0. */
  killed = false;
  /** Whether it was asked to go, by a SIGTERM or by one of node:cluster's own verbs, in whichever process. */
  wasAskedToLeave = false;
  /** It is up a moment later. */
  hasSaidReady = false;

  readonly #worker: Worker;
  readonly #lifeline: Lifeline;
  readonly #owner: ReplicaOwner;
  readonly #channel: ReplicaChannel;
  readonly #slot: Slot;
  #state: 'starting' | 'up' | 'stopping' | 'dead' = 'starting';
  #blocked = false;
  /** The script has called handle(). */
  #handles = false;
  #utilization: Utilization | undefined;
  #crash: Error | undefined;
  #exit: ExitInfo | undefined;
  /** What it had counted when it ended. */
  #lastTotals: Totals | undefined;
  #hasDropped = false;
  readonly #onDeath = new Set<() => void>();
  /** Of the process, and of every message that it had: settled or redirected. Or it is stuck. */
  readonly #end = deferred();

  constructor(worker: Worker, place: ReplicaPlace, owner: ReplicaOwner, counters: Counters) {
    const { codec, script } = place;
    this.pid = worker.process.pid as number;
    this.slot = place.slot;
    this.incarnation = place.incarnation;
    this.codec = codec;
    this.#worker = worker;
    this.#lifeline = place.lifeline;
    this.#owner = owner;
    this.#slot = new Slot(place.segment, place.slot);
    this.#slot.occupy({ ...place, pid: this.pid });

    this.#channel = new ReplicaChannel(worker.process, place.ends, counters, {
      serialization: codec.serialization,
      take: (entry) => this.#take(entry),
      dropped: (what) => this.#dropped(what),
      broken: (error) => {
        this.#crash = error;
        this.kill();
      },
    });
    this.inFlight = new InFlight(this.pid, codec, this.#channel, counters, {
      counted: () => this.recount(),
      castFailed: (error) => owner.castFailed(error),
      sight: () => ({
        script,
        handles: this.#handles,
        requests: this.#slot.requests,
        blocked: this.#blocked,
        turn: this.#turn,
        taken: this.#slot.taken,
      }),
    });
    worker.on('message', (message) => {
      if (message === READY_MESSAGE) this.#ready();
    });
    worker.on('error', (error) => this.#failed(error));
    worker.on('exit', (code, signal) => this.#exited(code, signal as NodeJS.Signals | null));
    worker.process.on('disconnect', () => this.#disconnected());
    keepConnected(worker.process, () => this.#asked('disconnect'));
  }

  get state(): 'starting' | 'up' | 'stopping' | 'dead' {
    return this.#state;
  }

  /**
   * Whether it may be running something. While it starts no pool knows it, but its servers may have begun a request, or its handler
   * a message to its pid. Once a window is open over it, it begins no other request.
   */
  get mayRunSomething(): boolean {
    if (this.#state === 'starting')
      return this.#slot.requests > 0 || (this.#handles && this.inFlight.size > 0);
    return this.#state !== 'dead';
  }

  /** How it ended; undefined while it has not. */
  get exit(): ExitInfo | undefined {
    return this.#exit;
  }

  /**
   * Has `listener` called when the process is seen gone: at once if it is. It must not throw. A replica may live for months,
   * and what it has to call it holds for as long.
   * @returns what takes it back.
   */
  onDeath(listener: () => void): () => void {
    if (this.#exit === undefined) this.#onDeath.add(listener);
    else listener();
    return () => this.#onDeath.delete(listener);
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
    if (this.#state === 'up') this.#slot.state = blocked ? 'blocked' : 'serving';
  }

  /** What can be seen of its event loop now. */
  look(): Sight {
    const { busySince, idle, taken } = this.#slot;
    const { greeted, heard } = this.#channel;
    return { busySince, idle, isOwed: greeted && this.inFlight.size > 0, taken, heard };
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
    return this.inFlight.size;
  }

  /** Tells callers, in shared memory, how many those are. */
  recount(): void {
    if (this.#state !== 'dead') this.#slot.unfinished = this.unfinished; // else the slot is another's
  }

  /** Calls, casts and requests that it has begun. What it says itself: it may say anything. */
  get served(): number {
    const { taken, begun } = this.#slot.counts;
    return taken + begun;
  }

  /** Requests that its servers are running. It may say anything. */
  get requests(): number {
    return this.#state === 'dead' ? 0 : this.#slot.requests; // the slot may be another's
  }

  /** What it has counted: it may say anything, but never less than before. Does not change any more when it is dead. */
  get totals(): Totals {
    if (this.#lastTotals !== undefined) return this.#lastTotals;
    const { taken, begun, accepted } = this.#slot.counts;
    const busyTime = this.#utilization?.busy(this.#slot.idle, hrtime.bigint()) ?? 0;
    return { taken, requests: begun, accepted, busyTime };
  }

  /** Bytes of memory that it has, as it says itself; 0 where it was not asked. */
  get rss(): number {
    return this.#slot.rss;
  }

  /** For `waitReady: 'online'`. */
  readyWhenOnline(): void {
    this.#worker.once('online', () => this.#ready());
  }

  /** False where the replica cannot take the message: it is shutting down, or too much waits for it. */
  carry(message: Message): boolean {
    if (this.#state === 'dead' || (this.#state === 'stopping' && message.kind !== 'ping')) return false;
    return this.inFlight.add(message);
  }

  /** Answers its request `id`: never refused, lost where the replica is gone. */
  answer(id: number, payload: Payload): void {
    this.#channel.answer(id, payload);
  }

  /** Says that its request `id` has failed: the same. */
  fail(id: number, error: unknown): void {
    this.#channel.fail(id, error);
  }

  /** A cast that it has asked for was not sent. */
  castFailed(error: BallermannError): void {
    this.#owner.castFailed(error);
  }

  /** Sends what is no call: never refused, lost where the replica is gone. */
  post(entry: ToReplica, weight: number = ENTRY_WEIGHT): void {
    this.#channel.post(entry, weight);
  }

  /**
   * Asks for an orderly stop: what was sent before is finished, the shutdown hooks run, the process exits.
   * SIGKILL after `grace` ms; at once where that is 0, as OTP's brutal_kill, and where its script has not begun to run or is
   * still in its first turn; never where it is Infinity. Calling it again changes nothing. Resolves when it is gone, or stuck.
   */
  stop(reason: string, grace: number): Promise<void> {
    if (this.#state === 'starting' && !this.#mayHaveBegun) this.kill();
    if (this.#state === 'starting' || this.#state === 'up') {
      this.#state = 'stopping';
      this.#slot.state = 'away';
      this.#worker.exitedAfterDisconnect = true; // Node's own word for a voluntary exit
      if (grace === 0) this.kill();
      else this.#askToStop(reason, grace);
    }
    return this.#end.promise;
  }

  /** While it starts: whether its event loop has turned, so that its script may serve, or have something to clean up. */
  get #mayHaveBegun(): boolean {
    return this.#channel.greeted && this.#slot.idle !== 0n;
  }

  #askToStop(reason: string, grace: number): void {
    this.post(['stop', reason]);
    if (grace === Number.POSITIVE_INFINITY) return;
    const timer = setTimeout(() => {
      this.killed = true;
      this.kill();
    }, grace);
    this.onDeath(() => clearTimeout(timer));
  }

  /** Through the same handle as `kill`. */
  signal(signal: NodeJS.Signals): void {
    this.#worker.process.kill(signal);
  }

  /**
   * SIGKILL, through the handle that knows whether the process is still the one that was forked. Where the primary may
   * not signal it, since one of the two has changed its user, the replica does it itself: at once, or when it is stopped
   * (SIGSTOP), as soon as it goes on.
   */
  kill(): void {
    if (this.#state === 'starting') this.#state = 'stopping'; // a 'ready' that is on its way comes too late
    if (this.#worker.process.kill('SIGKILL')) return;
    this.#lifeline.cut();
    const timer = setTimeout(() => this.#stuck(), OWN_END);
    this.onDeath(() => clearTimeout(timer));
  }

  /** The primary's own end does not wait for it. */
  #stuck(): void {
    this.#worker.process.unref();
    this.#worker.process.channel?.unref();
    this.#end.resolve();
    this.#owner.stuck(this);
  }

  readonly #take: ChannelListener['take'] = (entry) => {
    switch (entry[0]) {
      case 'ready':
        this.hasSaidReady = true;
        return afterPoll(() => this.#ready()); // node:cluster has told by then where it listens
      case 'handles':
        this.#handles = true;
        return;
      case 'alive':
        return; // to be heard was all
      case 'crash':
        this.#crash = fromErrorData(entry[1]);
        return;
      case 'leave':
        return this.#asked(entry[1]);
      case 'result':
        return eachOf(entry, this.inFlight.result);
      case 'failure':
        return this.inFlight.fail(entry[1], entry[2]);
      case 'request':
      case 'tracedRequest':
        return this.#owner.requested(this, entry);
      case 'cancel':
        return this.#owner.withdrawn(this, entry[1]);
    }
  };

  #asked(reason: string): void {
    this.wasAskedToLeave = true;
    this.#owner.leaving(this, reason);
  }

  /** ms since the event loop began the turn that it is in; 0 while it waits for work. It may say anything. */
  get #turn(): number {
    const { busySince } = this.#slot;
    return busySince === 0n ? 0 : Number(hrtime.bigint() - busySince) / 1e6;
  }

  #ready(): void {
    if (this.#state !== 'starting') return;
    this.#state = 'up';
    this.#slot.state = 'serving';
    this.#utilization = new Utilization(this.#slot.idle, hrtime.bigint());
    this.#owner.ready(this);
  }

  /** Said of the first one: who sends more of them may send very many. */
  #dropped(what: string): void {
    if (this.#hasDropped) return;
    this.#hasDropped = true;
    this.#owner.dropped(this, what);
  }

  /** An error of the process handle itself: the channel broke, or a signal was refused. */
  #failed(error: NodeJS.ErrnoException): void {
    if (error.syscall !== 'kill') this.#crash ??= error;
  }

  /** What it had written before its end is read first: its answers, and the cause of a crash. */
  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#exit !== undefined) return;
    this.#channel.drain();
    if (this.hasSaidReady) this.#ready();
    this.#lifeline.cut();
    this.#state = 'dead';
    const exit = { code, signal, error: this.#crash };
    this.#exit = exit;
    const { taken } = this.#slot;
    this.#lastTotals = this.totals;
    this.#slot.clear();
    this.#owner.exited(this, exit);
    this.#channel.close();
    this.inFlight.settleAll(exit, taken);
    for (const listener of this.#onDeath) listener();
    this.#onDeath.clear();
    this.#end.resolve();
  }

  #disconnected(): void {
    if (this.#exit !== undefined) return;
    if (this.#state !== 'starting') return this.#owner.leaving(this, 'disconnect');
    const timer = setTimeout(() => this.kill(), WITHOUT_CHANNEL); // mostly exits itself
    this.onDeath(() => clearTimeout(timer));
  }
}
