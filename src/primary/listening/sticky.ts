/**
 * A listening socket whose connections the primary accepts itself, to give those of one remote address to one replica: by a
 * rendezvous hash over the places of the replicas, so that a replica that comes or goes moves only its own. A connection
 * travels as node:cluster's round robin sends it, so a replica takes it with Node's own code.
 */

import type { Worker } from 'node:cluster';
import type { ListenQuery } from '../../channel/listening.js';
import { SlotState } from '../../memory/addon.js';
import type { Segment } from '../../memory/segment.js';
import {
  type BindFailure,
  type ConnectionHandle,
  type ListeningSocket,
  sendable,
} from './listening-socket.js';

/** Where a connection comes from. Address and port are undefined on a Unix socket. */
export interface Remote {
  readonly address: string | undefined;
  readonly port: number | undefined;
}

/**
 * Groups connections: those for which it returns the same text go to the same replica. If it throws, or returns anything but
 * a string or a number, the connection goes by its address, as with `sticky: true`, and the log says so.
 */
export type StickyKey = (remote: Remote) => string;

/** As `sticky: true`. */
export const byAddress: StickyKey = ({ address = '' }) => address;

/** ms until another try for connections that no replica takes now. */
const RETRY = 5;

interface Handover {
  readonly connection: ConnectionHandle;
  readonly key: string;
  readonly worker: Worker;
}

export class StickyListener {
  readonly #key: string;
  readonly #socket: ListeningSocket;
  readonly #segment: Segment;
  readonly #keyOf: StickyKey;
  /** The replicas that listen, by the slot that each keeps through its restarts. */
  readonly #places = new Map<Worker, number>();
  /** Sent, and not answered. */
  readonly #underWay = new Map<number, Handover>();
  readonly #acceptFrom: () => ListeningSocket | BindFailure;
  /** Undefined while a connection waits that no replica takes: the next ones stay in the backlog. */
  #accepting: ListeningSocket | undefined;
  #waiting: Omit<Handover, 'worker'>[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @param acceptFrom makes the handle by which connections of `socket` are accepted. */
  constructor(
    key: string,
    socket: ListeningSocket,
    segment: Segment,
    keyOf: StickyKey,
    acceptFrom: () => ListeningSocket | BindFailure,
  ) {
    this.#key = key;
    this.#socket = socket;
    this.#segment = segment;
    this.#keyOf = keyOf;
    this.#acceptFrom = acceptFrom;
    this.#startAccepting();
  }

  add(worker: Worker, place: number, { seq }: ListenQuery, data: unknown): void {
    this.#places.set(worker, place);
    const sockname = {};
    const isPath = this.#socket.getsockname?.(sockname) === undefined;
    const answer = { cmd: 'NODE_CLUSTER', ack: seq, key: this.#key, errno: 0, data };
    worker.process.send(isPath ? answer : { ...answer, sockname }, undefined, undefined, () => {});
  }

  /** What the replica has not answered goes to another. */
  remove(worker: Worker): void {
    this.#places.delete(worker);
    for (const [seq, handover] of this.#underWay) {
      if (handover.worker !== worker) continue;
      this.#underWay.delete(seq);
      this.#give(handover);
    }
  }

  /** A replica has taken a connection, or not. It speaks for itself only. */
  answered(worker: Worker, seq: number, accepted: boolean): void {
    const handover = this.#underWay.get(seq);
    if (handover?.worker !== worker) return;
    this.#underWay.delete(seq);
    if (accepted) handover.connection.close();
    else this.#wait(handover);
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const { connection } of [...this.#waiting, ...this.#underWay.values()]) connection.close();
    this.#waiting = [];
    this.#underWay.clear();
    this.#stopAccepting();
    this.#socket.close();
  }

  #startAccepting(): void {
    if (this.#accepting !== undefined) return;
    const handle = this.#acceptFrom();
    if ('errno' in handle) return this.#tryLater(); // without a free descriptor nobody can accept
    this.#accepting = handle;
    handle.onconnection = (error, connection) => {
      if (error === 0) this.#accept(connection);
    };
  }

  #stopAccepting(): void {
    this.#accepting?.close();
    this.#accepting = undefined;
  }

  #accept(connection: ConnectionHandle): void {
    const remote: { address?: string; port?: number } = {};
    const failure = connection.getpeername?.(remote) ?? 0; // a Unix socket has no such name
    if (failure !== 0)
      connection.close(); // its client has gone already
    else this.#give({ connection, key: this.#keyOf({ address: remote.address, port: remote.port }) });
  }

  #give({ connection, key }: Omit<Handover, 'worker'>): void {
    const worker = this.#choose(key);
    if (worker === undefined) return this.#wait({ connection, key });
    const seq = nextSeq--;
    this.#underWay.set(seq, { connection, key, worker });
    const message = { cmd: 'NODE_CLUSTER', act: 'newconn', key: this.#key, seq };
    worker.process.send(message, sendable(connection), undefined, () => {}); // if it fails, the exit follows
  }

  #choose(key: string): Worker | undefined {
    let chosen: Worker | undefined;
    let highest = -1;
    for (const [worker, place] of this.#places) {
      const weight = this.#isServing(place) && worker.isConnected() ? hash(`${place} ${key}`) : -1;
      if (weight > highest) {
        highest = weight;
        chosen = worker;
      }
    }
    return chosen;
  }

  #isServing(place: number): boolean {
    const { words } = this.#segment;
    const { slotState, slotWindows } = this.#segment.addon.layout;
    const word = (field: number): number => words[this.#segment.slotWord(place, field)] as number;
    return word(slotState) === SlotState.serving && word(slotWindows) === 0;
  }

  /** For a replica that serves, or for the end of the window. */
  #wait({ connection, key }: Omit<Handover, 'worker'>): void {
    this.#waiting.push({ connection, key });
    this.#stopAccepting();
    this.#tryLater();
  }

  #tryLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const one of waiting) this.#give(one);
      if (this.#waiting.length === 0) this.#startAccepting();
    }, RETRY);
  }
}

/** Negative, since Node counts its own messages upwards from 0 and would take our answers for its own. */
let nextSeq = -1;

/** FNV-1a, mixed, so that each bit of the result depends on all of the text. 0 to 2^32 - 1. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
