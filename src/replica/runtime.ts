/**
 * One replica's side of everything: its channel to the primary, its mailbox, its orderly end. Made by the preload
 * before the user's script runs, and found by every copy of this package that the script may import.
 */

import { setMaxListeners } from 'node:events';
import { performance } from 'node:perf_hooks';
import { codecs } from '../channel/codec.js';
import { INDEX_ENV, type ReplicaEnv } from '../channel/environment.js';
import { fixed, Outbox } from '../channel/outbox.js';
import { OutgoingAnswer } from '../channel/outgoing-answer.js';
import {
  eachOf,
  isToReplica,
  join,
  PROTOCOL_VERSION,
  type ToPrimary,
  type ToReplica,
  unpack,
} from '../channel/protocol.js';
import type { WaitReady } from '../channel/readiness.js';
import { SharedChannel } from '../channel/shared-channel.js';
import { BallermannError, toErrorData } from '../errors.js';
import { shareAddon } from '../memory/addon.js';
import { attachSegment, Segment } from '../memory/segment.js';
import { ignoreClosedOutput } from '../output.js';
import { cleanUp } from './clean-up.js';
import { Departure } from './departure.js';
import { publish, type Runtime, type ShutdownHook } from './found.js';
import { type Handler, Mailbox } from './messages/mailbox.js';
import { Requests } from './messages/requests.js';
import { watchRss } from './rss.js';
import { watchDatagrams } from './servers/datagrams.js';
import { shareListening } from './servers/listening.js';
import { Servers } from './servers/servers.js';

/** The part of the time to stop after which the hooks do not wait any longer for requests: one may never end. */
const REQUESTS_PART = 3 / 4;

/** The part after which connections are ended on which no request runs: most would never end by themselves. */
const OTHERS_PART = 1 / 2;

/** The part for which a client may do nothing at all while its request waits for it. */
const STALLED_PART = 1 / 4;

/** The part after which the process ends though the script's own clean-up has not: the rest is for the exit itself. */
const CLEAN_UP_PART = 9 / 10;

export class ReplicaRuntime implements Runtime {
  readonly requests: Requests;
  readonly #outbox: Outbox<ToPrimary>;
  readonly #mailbox: Mailbox;
  readonly #servers: Servers;
  readonly #departure: Departure;
  readonly #shutdown: number;
  readonly #hooks: ShutdownHook[] = [];
  readonly #waitReady: WaitReady;
  #ready = false;
  /** Why it stops; undefined while it does not. */
  #reason: string | undefined;
  #stopSignal: AbortController | undefined;

  /** Makes this process a replica. @throws what keeps it from being one; the primary has been told then. */
  static start(env: ReplicaEnv): void {
    shareAddon(env.addon);
    let runtime: ReplicaRuntime | undefined;
    const outbox = outboxOf(env, (entry) => {
      if (runtime !== undefined) runtime.#take(entry);
    });
    try {
      attachSegment(env.fd, env.slot);
      const segment = Segment.require();
      segment.addon.startLoopClock();
      if (env.report !== undefined) reportHangs(segment, env.report);
      segment.addon.dieWithLifeline(env.lifeline);
      runtime = new ReplicaRuntime(env, segment, outbox);
      shareListening(segment, env);
      publish(runtime);
    } catch (error) {
      reportCrash(outbox, error);
      throw error;
    }
  }

  private constructor(env: ReplicaEnv, segment: Segment, outbox: Outbox<ToPrimary>) {
    const codec = codecs[env.serialization];
    const takenWord = segment.slotWord(env.slot, segment.addon.layout.slotTaken);
    let taken = 0;
    this.#outbox = outbox;
    const failed = (id: number, error: unknown): void => this.#post(['failure', id, toErrorData(error)]);
    this.requests = new Requests(codec, this.#outbox);
    const addressee = { supervisor: env.supervisor, index: Number(process.env[INDEX_ENV]) };
    this.#mailbox = new Mailbox(addressee, codec, {
      result: (id, payload, isAlone) => {
        this.#outbox.post(new OutgoingAnswer(id, payload, failed), isAlone);
        this.#outbox.hurry(); // the handlers of a batch run in one turn, and each may take long
      },
      failure: failed,
      taken: () => {
        taken = (taken + 1) | 0;
        segment.words[takenWord] = taken;
      },
    });
    this.#waitReady = env.waitReady;
    const serves = (): void => this.#noteServing();
    this.#servers = new Servers(segment, env.slot, this.#mailbox, env, serves);
    watchDatagrams(serves);
    this.#shutdown = env.shutdown ?? Number.POSITIVE_INFINITY;
    process.on('uncaughtExceptionMonitor', (error) => {
      const isCaught =
        process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback();
      if (!isCaught) reportCrash(this.#outbox, error);
    });
    process.on('exit', () => this.#outbox.flushNow()); // the replies of the turn that exits
    this.#departure = new Departure(segment.addon, (reason) => this.#post(['leave', reason]));
    ignoreClosedOutput();
    if (env.watchRss) watchRss(segment, env.slot);
    this.#post(['hello', PROTOCOL_VERSION]);
  }

  handle(handler: Handler): void {
    if (this.#mailbox.setHandler(handler)) this.#post(['handles']);
    this.#noteServing();
  }

  ready(): void {
    if (this.#ready) return;
    this.#ready = true;
    this.#post(['ready']);
  }

  /** It answers messages or listens: that makes it ready, unless it is to say so itself. */
  #noteServing(): void {
    if (this.#waitReady === 'listen') this.ready();
  }

  onShutdown(hook: ShutdownHook): void {
    this.#hooks.push(hook);
  }

  /** Aborts when a stop begins. Made when asked for: most scripts do not. */
  get shutdownSignal(): AbortSignal {
    if (this.#stopSignal === undefined) {
      this.#stopSignal = new AbortController();
      setMaxListeners(0, this.#stopSignal.signal); // each long answer may have one
      if (this.#reason !== undefined) this.#stopSignal.abort(this.#reason);
    }
    return this.#stopSignal.signal;
  }

  #post(entry: ToPrimary): void {
    this.#outbox.post(fixed(entry));
  }

  #take(entry: ToReplica): void {
    switch (entry[0]) {
      case 'call':
      case 'cast':
        return eachOf(entry, this.#deliver);
      case 'traced': {
        const [, id, kind, traceparent, tracestate, payload] = entry;
        return this.#mailbox.deliver(kind, id, payload, { traceparent, tracestate });
      }
      case 'ping':
        return this.#mailbox.deliver('ping', entry[1]);
      case 'cancel':
        return this.#mailbox.cancel(entry[1]);
      case 'probe':
        return this.#post(['alive']);
      case 'resumed':
        return this.#servers.resumed();
      case 'stop':
        void this.#stop(entry[1]);
        return;
      case 'result':
        return eachOf(entry, this.#result);
      case 'failure':
        return this.requests.failure(entry[1], entry[2]);
    }
  }

  readonly #deliver = (kind: 'call' | 'cast', id: number, payload: unknown): void =>
    this.#mailbox.deliver(kind, id, payload);

  readonly #result = (_tag: 'result', id: number, payload: unknown): void =>
    this.requests.result(id, payload);

  /**
   * Accepts nothing more, finishes the messages and the requests, runs the hooks, then the script's own listeners for the
   * signal; without any, lets the connections end and exits. All of that before SIGKILL: so what might never end gets a
   * part of the time only.
   */
  async #stop(reason: string): Promise<void> {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    const began = performance.now();
    const part = (of: number): number => began + of * this.#shutdown;
    this.#servers.stop(part(OTHERS_PART), STALLED_PART * this.#shutdown);
    this.#stopSignal?.abort(reason);
    await Promise.all([this.#mailbox.stop(), this.#servers.requestsEnded(part(REQUESTS_PART))]);
    for (const hook of this.#hooks) {
      try {
        await hook(reason);
      } catch (error) {
        process.exitCode = 1;
        console.error(`ballermann: an onShutdown hook of replica ${process.pid} failed:`, error);
      }
    }
    const limits = { latest: part(CLEAN_UP_PART), isServing: () => this.#servers.isServing };
    const departure = this.#departure;
    const signal = departure.signalFor(reason);
    if (signal !== undefined) {
      await this.#outbox.drained();
      this.#servers.unref();
      return cleanUp(signal, () => departure.tell(signal), limits);
    }
    await this.#servers.connectionsEnded();
    await this.#outbox.drained();
    // Who uses node:cluster's own verbs knows what a worker does then: it goes on until nothing keeps it alive.
    const isNodes = reason === 'disconnect' && departure.hasDisconnectListeners;
    if (!isNodes) return this.#exit();
    this.#servers.unref();
    cleanUp('disconnect', () => departure.disconnect(), limits);
  }

  async #exit(): Promise<void> {
    const disconnected = new Promise((resolve) => process.once('disconnect', resolve));
    this.#departure.disconnect();
    await disconnected;
    process.exit();
  }
}

/** Without this, Node asks DNS for the name of each socket's peer, one after another, and the report comes too late. */
function reportHangs({ addon }: Segment, path: string): void {
  (process.report as { excludeNetwork?: boolean }).excludeNetwork = true;
  addon.reportOnSignal(path);
}

/** This end of the channel. @param take gets each entry that comes. */
function outboxOf(
  { channel, serialization }: ReplicaEnv,
  take: (entry: ToReplica) => void,
): Outbox<ToPrimary> {
  const shared = new SharedChannel<ToPrimary>('replica', channel, serialization, {
    take(batch) {
      unpack(batch, isToReplica, take);
      return true;
    },
    broken(cause) {
      throw new BallermannError('ERR_PROTOCOL', 'the channel to the primary carries no messages', { cause });
    },
  });
  return new Outbox(shared, join, false);
}

/** Tells the primary why the process is about to end: written at once, there may be no later turn. */
function reportCrash(outbox: Outbox<ToPrimary>, error: unknown): void {
  outbox.post(fixed(['crash', toErrorData(error)]));
  outbox.flushNow();
}
