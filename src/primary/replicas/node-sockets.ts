/**
 * The sockets that a replica has from Node's own primary, which asserts that no worker asks for one twice, and expects that
 * none closes one before it has got it. An honest one does neither.
 */

import { isDescriptor, isNodeQuery } from '../../channel/node-messages.js';

/** Begins the keys that are not Node's. */
export const OUR_KEY = 'ballermann ';

type Fields = Readonly<Record<string, unknown>>;

export class NodeSockets {
  /** Asked for, had or awaited. */
  readonly #places = new Set<string>();
  /** Of the questions that are not answered, by their number. */
  readonly #asked = new Map<unknown, string>();
  /** By Node's key. */
  readonly #had = new Map<unknown, string>();

  /** To be called with each message that is harmless in itself. @returns what the replica did wrong. */
  misfitOf(message: unknown): string | undefined {
    if (isNodeQuery(message)) return this.#ask(message);
    const { cmd, act, key } = message as Fields;
    return cmd === 'NODE_CLUSTER' && act === 'close' ? this.#close(key) : undefined;
  }

  /** To be called with each message to the replica. */
  answered(message: unknown): void {
    if (this.#asked.size === 0) return;
    const { cmd, ack, errno, key } = (message ?? {}) as Fields;
    const place = this.#asked.get(ack);
    if (cmd !== 'NODE_CLUSTER' || place === undefined) return;
    this.#asked.delete(ack);
    if (errno) this.#places.delete(place);
    else this.#had.set(key, place);
  }

  #ask({ seq, address, port, addressType, fd, index }: Fields): string | undefined {
    const place = `${address}:${port}:${addressType}:${isDescriptor(fd) ? fd : 'none'}:${index}`;
    if (this.#places.has(place) || this.#asked.has(seq)) return 'asked again for a socket that it has';
    this.#places.add(place);
    this.#asked.set(seq, place);
    return undefined;
  }

  #close(key: unknown): string | undefined {
    if (typeof key === 'string' && key.startsWith(OUR_KEY)) return undefined;
    const place = this.#had.get(key);
    if (place === undefined) return 'closed a socket that it does not have';
    this.#had.delete(key);
    this.#places.delete(place);
    return undefined;
  }
}
