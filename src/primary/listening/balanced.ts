/** A listening socket that replicas accept from themselves, each in its turn: the primary hands them duplicates. */

import type { Worker } from 'node:cluster';
import type { ListenAnswer, ListenQuery } from '../../channel/listening.js';
import type { Segment } from '../../memory/segment.js';
import { type ListeningSocket, sendable } from './listening-socket.js';

export class BalancedListener {
  readonly #segment: Segment;
  readonly #key: string;
  readonly #socket: ListeningSocket;
  readonly #index: number;

  /** @param index of a listener of the segment, taken from `takeIndex`. */
  constructor(segment: Segment, key: string, socket: ListeningSocket, index: number) {
    this.#segment = segment;
    this.#key = key;
    this.#socket = socket;
    this.#index = index;
  }

  add(worker: Worker, _place: number, { seq }: ListenQuery, data: unknown): void {
    const common = { cmd: 'NODE_CLUSTER', ack: seq, key: this.#key, errno: 0, data } as const;
    const answer: ListenAnswer = { ...common, listener: this.#index };
    worker.process.send(answer, sendable(this.#socket), undefined, () => {}); // one that is gone needs no answer
  }

  remove(): void {} // its count is cleared with its slot, or by itself

  close(): void {
    giveIndexBack(this.#segment, this.#index);
    this.#socket.close();
  }
}

/** A listener of the segment that nobody uses, cleared; undefined where all are used. */
export function takeIndex(segment: Segment): number | undefined {
  const index = segment.addon.takeListener();
  if (index !== undefined)
    segment.words.fill(0, segment.listenerWord(index), segment.listenerWord(index + 1));
  return index;
}

export function giveIndexBack({ addon }: Segment, index: number): void {
  addon.giveListenerBack(index);
}
