/**
 * One replica's side of everything: its channel to the primary, its mailbox, its orderly end. Made by the preload
 * before the user's script runs, and found by every copy of this package that the script may import.
 */

import cluster from 'node:cluster';
import { subscribe } from 'node:diagnostics_channel';
import type { Server, ServerResponse } from 'node:http';
import { BallermannError, toErrorData } from '../errors.js';
import { attachSegment, Segment } from '../memory/segment.js';
import { codecs } from '../wire/codec.js';
import { ENTRY_WEIGHT, fixed, Outbox } from '../wire/outbox.js';
import {
  CMD,
  eachOf,
  entryOf,
  isOurs,
  isToReplica,
  join,
  PROTOCOL_VERSION,
  type ToPrimary,
  type ToReplica,
  unpack,
} from '../wire/protocol.js';
import type { ReplicaEnv } from './environment.js';
import { balanceListening } from './listening.js';
import { type Handler, Mailbox } from './mailbox.js';
import { Requests } from './requests.js';

export type ShutdownHook = (reason: string) => unknown;

const KEY = Symbol.for('ballermann.replica');

interface Found {
  readonly protocol: number;
  readonly runtime: ReplicaRuntime;
}

/** This process's runtime; undefined where it is no replica. @throws BallermannError ERR_PROTOCOL. */
export function replicaRuntime(): ReplicaRuntime | undefined {
  const found = (globalThis as { [KEY]?: Found })[KEY];
  if (found === undefined || found.protocol === PROTOCOL_VERSION) return found?.runtime;
  throw new BallermannError(
    'ERR_PROTOCOL',
    `the primary's ballermann speaks protocol ${found.protocol}, this copy ${PROTOCOL_VERSION}: install one`,
  );
}

export class ReplicaRuntime {
  readonly requests: Requests;
  readonly #outbox: Outbox<ToPrimary>;
  readonly #mailbox: Mailbox;
  readonly #hooks: ShutdownHook[] = [];
  #ready = false;
  #stopping = false;

  /** Makes this process a replica. @throws what keeps it from being one; the primary has been told then. */
  static start(env: ReplicaEnv): void {
    try {
      attachSegment(env.fd, env.slot);
      const segment = Segment.require();
      segment.addon.startLoopClock();
      if (!segment.addon.dieWithPrimary(env.primary)) process.exit(0); // nobody is left to serve
      const runtime = new ReplicaRuntime(env, segment);
      if (env.listen === 'balanced') balanceListening(segment, env.sticky);
      Object.defineProperty(globalThis, KEY, {
        value: { protocol: PROTOCOL_VERSION, runtime } satisfies Found,
      });
    } catch (error) {
      reportCrash(error);
      throw error;
    }
  }

  private constructor(env: ReplicaEnv, segment: Segment) {
    const codec = codecs[env.serialization];
    const takenWord = segment.slotWord(env.slot, segment.addon.layout.slotTaken);
    let taken = 0;
    this.#outbox = new Outbox<ToPrimary>(process as never, join, false);
    this.requests = new Requests(codec, this.#outbox);
    this.#mailbox = new Mailbox(codec, {
      result: (id, { value, weight }, isAlone) => {
        this.#outbox.post(fixed(entryOf('result', id, value), weight + ENTRY_WEIGHT), isAlone);
        this.#outbox.hurry(); // the handlers of a batch run in one turn, and each may take long
      },
      failure: (id, error) => this.#post(['failure', id, toErrorData(error)]),
      taken: () => {
        taken = (taken + 1) | 0;
        segment.words[takenWord] = taken;
      },
    });
    process.on('internalMessage' as 'message', (message: unknown) => {
      if (isOurs(message)) unpack(message, isToReplica, (entry) => this.#take(entry));
    });
    process.on('uncaughtExceptionMonitor', (error) => {
      const isCaught =
        process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback();
      if (!isCaught) reportCrash(error);
    });
    process.on('exit', () => this.#outbox.flushNow()); // a reply of the turn that exits
    // A terminal sends Ctrl-C to the whole group, and a service manager SIGTERM: the primary decides what follows.
    process.on('SIGINT', () => {});
    process.on('SIGTERM', () => this.#post(['leave', 'SIGTERM']));
    this.#closeIdleConnections();
    this.#post(['hello', PROTOCOL_VERSION]);
  }

  handle(handler: Handler): void {
    this.#mailbox.setHandler(handler);
    this.ready();
  }

  ready(): void {
    if (this.#ready) return;
    this.#ready = true;
    this.#post(['ready']);
  }

  onShutdown(hook: ShutdownHook): void {
    this.#hooks.push(hook);
  }

  #post(entry: ToPrimary): void {
    this.#outbox.post(fixed(entry));
  }

  #take(entry: ToReplica): void {
    switch (entry[0]) {
      case 'call':
      case 'cast':
        return eachOf(entry, this.#deliver);
      case 'ping':
        return this.#mailbox.deliver('ping', entry[1]);
      case 'cancel':
        return this.#mailbox.cancel(entry[1]);
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

  /** Finishes the messages, runs the hooks, closes the servers, lets their connections end, exits. */
  async #stop(reason: string): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    await this.#mailbox.stop();
    for (const hook of this.#hooks) {
      try {
        await hook(reason);
      } catch (error) {
        process.exitCode = 1;
        console.error('ballermann: an onShutdown hook failed:', error);
      }
    }
    await this.#outbox.drained();
    const disconnected = new Promise((resolve) => process.once('disconnect', resolve));
    cluster.worker?.disconnect();
    await disconnected;
    process.exit();
  }

  /** While stopping, a keep-alive connection ends with the response that was under way, not seconds later. */
  #closeIdleConnections(): void {
    subscribe('http.server.request.start', (message) => {
      const { server, response } = message as {
        server: Server;
        response: ServerResponse;
      };
      response.once('close', () => {
        if (this.#stopping) setImmediate(() => server.closeIdleConnections());
      });
    });
  }
}

/** Tells the primary why the process is about to end: written at once, there is no later turn. */
function reportCrash(error: unknown): void {
  const batch: ToPrimary[] = [['crash', toErrorData(error)]];
  process.send?.({ cmd: CMD, batch }, undefined, undefined, () => {});
}
