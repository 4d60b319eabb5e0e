/**
 * Numbers what this replica listens on at one place: the replicas' first server there share one socket, and so do their
 * second ones. Node counts those that have failed as well, so that after some of them no two replicas agree.
 */

import path from 'node:path';

/** What a socket is to be bound to, as net.Server and dgram.Socket ask. */
export interface Place {
  readonly address?: string | null;
  /** Below 0: a path. */
  readonly port?: number | string | null;
  /** 4, 6, 'udp4' or 'udp6'; -1 for a path, null for a descriptor. */
  readonly addressType?: number | string | null;
  readonly fd?: number | null;
}

export interface Taken {
  readonly index: number;
  /** It is closed, or could not be bound. */
  readonly free: () => void;
}

class Places {
  readonly #taken = new Map<string, Set<number>>();

  /** The lowest number that is free there. */
  take({ address, port, addressType, fd }: Place): Taken {
    const where = typeof address === 'string' && Number(port) < 0 ? path.resolve(address) : address;
    const key = `${where}:${port}:${addressType}:${fd}`;
    const taken = this.#taken.get(key) ?? new Set();
    this.#taken.set(key, taken);
    let index = 0;
    while (taken.has(index)) index++;
    taken.add(index);
    let isFree = false;
    const free = (): void => {
      if (isFree) return; // it may be another's by now
      isFree = true;
      taken.delete(index);
      if (taken.size === 0) this.#taken.delete(key);
    };
    return { index, free };
  }
}

export const places = new Places();
