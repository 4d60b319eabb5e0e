/** The stream of the page (Server-Sent Events): one clock and one text for all who listen, and none where nobody does. */

import type { ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';

/** ms between two snapshots. */
const PERIOD = 500;
/** ms between two snapshots at least, however much happens. */
const SHORTEST = 50;
/** ms for which a client may leave unread what it was sent. What comes meanwhile it misses. */
const PATIENCE = 10_000;
/** ms after which a browser tries again. */
const RETRY = 1_000;
const MOST_CLIENTS = 16;

interface Client {
  readonly response: ServerResponse;
  /** Since when it has not read all that it was sent; performance.now(). */
  behindSince: number | undefined;
}

export class Feed {
  readonly #snapshot: () => unknown;
  readonly #patience: number;
  readonly #clients = new Set<Client>();
  #timer: NodeJS.Timeout | undefined;
  #last = Number.NEGATIVE_INFINITY;

  /** @param snapshot what everybody gets, again and again; it never throws, and undefined is not sent. */
  constructor(snapshot: () => unknown, patience = PATIENCE) {
    this.#snapshot = snapshot;
    this.#patience = patience;
  }

  get isFull(): boolean {
    return this.#clients.size >= MOST_CLIENTS;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** Makes a client of a request: the response's head is written. @param history what it is told first. */
  add(response: ServerResponse, history: unknown): void {
    const client: Client = { response, behindSince: undefined };
    this.#clients.add(client);
    response.once('close', () => this.#remove(client));
    response.on('error', () => {}); // it closes then
    response.write(`retry: ${RETRY}\n\n${frame('history', history)}${this.#snapshotFrame()}`);
    if (this.#clients.size === 1) this.#next(PERIOD);
  }

  /** Sends it at once, and a snapshot right after it. */
  tell(name: string, data: unknown): void {
    if (this.#clients.size === 0) return;
    this.#send(frame(name, data));
    this.#next(Math.max(0, this.#last + SHORTEST - performance.now()));
  }

  /** Ends every stream. */
  close(): void {
    for (const client of this.#clients) {
      this.#remove(client);
      client.response.end();
    }
  }

  #remove(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#stop();
  }

  #next(delay: number): void {
    this.#stop();
    this.#timer = setTimeout(() => {
      this.#last = performance.now();
      this.#next(PERIOD);
      this.#send(this.#snapshotFrame());
    }, delay).unref();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Empty where there can be none. */
  #snapshotFrame(): string {
    const snapshot = this.#snapshot();
    return snapshot === undefined ? '' : frame('snapshot', snapshot);
  }

  /** Nothing is kept for those that are behind, and none of them holds its place for long. */
  #send(text: string): void {
    const now = performance.now();
    for (const client of this.#clients) {
      if (client.response.writableNeedDrain) {
        client.behindSince ??= now;
        if (now - client.behindSince <= this.#patience) continue;
        this.#remove(client);
        client.response.destroy();
      } else {
        client.behindSince = undefined;
        client.response.write(text);
      }
    }
  }
}

/** JSON has no line break, which would end a frame. */
function frame(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
