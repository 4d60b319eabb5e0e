/** Tells the client of a WebSocket that the service restarts, where the socket belongs to one of the `ws` package. */

import type { Duplex } from 'node:stream';

/** RFC 6455, as registered by IANA: the server restarts; the client may connect again, after a while. */
const SERVICE_RESTART = 1012;

const OPEN = 1;

interface WebSocket {
  readonly readyState: number;
  close(code: number, reason: string): void;
}

/**
 * `ws` keeps its object on the socket, under a symbol of its own. A close frame that we wrote ourselves would need no
 * package, but it could come in the middle of a frame that a proxy is passing on. Calling it again does nothing.
 */
export function restartWebSocket(socket: Duplex): void {
  for (const key of Object.getOwnPropertySymbols(socket)) {
    if (key.description !== 'websocket') continue;
    const found = (socket as unknown as Record<symbol, unknown>)[key];
    if (isWebSocket(found) && found.readyState === OPEN) found.close(SERVICE_RESTART, 'service restart');
  }
}

function isWebSocket(value: unknown): value is WebSocket {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as WebSocket).close === 'function' &&
    'readyState' in value
  );
}
