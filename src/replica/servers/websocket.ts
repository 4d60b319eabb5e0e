/** Tells the client of a WebSocket that the service restarts, where the socket belongs to one of the `ws` package. */

import type { Socket } from 'node:net';

/** RFC 6455, as registered by IANA: the server restarts; the client may connect again, after a while. */
const SERVICE_RESTART = 1012;

interface WebSocket {
  close(code: number, reason: string): void;
}

/**
 * `ws` keeps its object on the socket, under a symbol of its own. A close frame that we wrote ourselves would need no
 * package, but it could come in the middle of a frame that a proxy is passing on.
 */
export function restartWebSocket(socket: Socket): void {
  for (const key of Object.getOwnPropertySymbols(socket)) {
    if (key.description !== 'websocket') continue;
    const found = (socket as unknown as Record<symbol, unknown>)[key];
    if (isWebSocket(found)) found.close(SERVICE_RESTART, 'service restart');
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
