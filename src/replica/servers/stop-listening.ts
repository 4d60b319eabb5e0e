/**
 * Closes a listening socket and lets its server think that it listens still, until the script closes it: so the script's own
 * clean-up finds what Node's documentation says, `listening`, the callback of `close` and the event 'close' among it.
 */

import type { AddressInfo, Server } from 'node:net';
import { acceptWaiting } from './listening.js';

/** As much of Node's handle as a server uses. */
interface Handle {
  getsockname?(out: object): number;
  close(): void;
}

interface Listening {
  _handle: Handle | null;
  closeIdleConnections?: () => void;
}

/** Calling it again does nothing, unless the server has listened anew. */
export function stopListening(server: Server): void {
  const { _handle: handle } = server as unknown as Listening;
  if (!handle || handle instanceof ClosedHandle) return;
  const closed = new ClosedHandle(server.address());
  acceptWaiting(server);
  handle.close();
  Object.assign(server, { _handle: closed });
  // close() would call it and cut the connection on which a request is just coming. They all end in a moment.
  if ('closeIdleConnections' in server) Object.assign(server, { closeIdleConnections() {} });
}

class ClosedHandle implements Handle {
  readonly #address: AddressInfo | string | null;

  constructor(address: AddressInfo | string | null) {
    this.#address = address;
  }

  getsockname(out: object): number {
    Object.assign(out, this.#address);
    return 0;
  }

  close(): void {}

  ref(): void {}

  unref(): void {}
}
