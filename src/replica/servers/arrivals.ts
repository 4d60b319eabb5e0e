/**
 * The forms in which work reaches a server: an HTTP/1.1 request with its response, an HTTP/2 stream, an upgrade (or
 * CONNECT) with its socket. Here is all that differs between them.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

/** NGHTTP2_REFUSED_STREAM: nothing has run, the client may send it again (RFC 9113, 8.7). node:http2 is not loaded for it. */
const REFUSED_STREAM = 7;

export type RequestArguments = [request: IncomingMessage, response: ServerResponse];
export type UpgradeArguments = [request: IncomingMessage, socket: Socket, head: Buffer];
export type StreamArguments = [stream: ServerHttp2Stream, ...rest: unknown[]];

/** An event of a server that brings work, by its name. */
export type Arrival =
  | readonly [event: 'request' | 'checkContinue' | 'checkExpectation', args: RequestArguments]
  | readonly [event: 'upgrade' | 'connect', args: UpgradeArguments]
  | readonly [event: 'stream', args: StreamArguments];

/** What a request is answered by, where it is no upgrade. */
export type Answer = ServerResponse | ServerHttp2Stream;

export function isUpgrade(event: string): boolean {
  return event === 'upgrade' || event === 'connect';
}

/** What closes when the work is over, or when its client has gone. */
export function carrierOf([event, args]: Arrival): ServerResponse | Socket | ServerHttp2Stream {
  return event === 'stream' ? args[0] : args[1];
}

/** The response of an HTTP/1.1 request; undefined in the other forms. */
export function responseOf([event, args]: Arrival): ServerResponse | undefined {
  switch (event) {
    case 'stream':
    case 'upgrade':
    case 'connect':
      return undefined;
    default:
      return args[1];
  }
}

/** Whether it is an HTTP/2 stream in the form of a request, as its server passes it on. */
export function isOfStream([event, args]: Arrival): boolean {
  return event !== 'stream' && args[0].httpVersionMajor === 2;
}

/** Whether the client has gone. A response that waits behind another of its connection is not told so. */
export function isGone(arrival: Arrival): boolean {
  const [event, args] = arrival;
  return carrierOf(arrival).destroyed || (event !== 'stream' && args[0].socket.destroyed);
}

/** Whether a running request goes on only when its client sends more of it, or reads more of the answer. */
export function waitsForClient(answer: Answer): boolean {
  const isStream = 'sentHeaders' in answer;
  if (!isStream && answer.socket === null) return false; // it waits for the answer before it (pipelining)
  const body = isStream ? answer : answer.req;
  const isWhole = isStream ? answer.readableEnded : answer.req.complete;
  const isReading = body.readableFlowing === true || body.listenerCount('readable') > 0;
  if (!isWhole && isReading && body.readableLength === 0) return true;
  return answer.writableLength > 0 || (answer.writableEnded && !answer.writableFinished);
}

/** Answers in the server's stead that there is no room now. */
export function refuse([event, args]: Arrival): void {
  switch (event) {
    case 'stream':
      args[0].respond({ ':status': 503, 'retry-after': '1' }, { endStream: true });
      return;
    case 'upgrade':
    case 'connect':
      args[1].end(
        'HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
      );
      return;
    default:
      args[1].writeHead(503, { 'Retry-After': '1', 'Content-Length': '0' }).end();
  }
}

/** Says that the stream has not run, and has not been seen by the script. */
export function refuseStream(stream: ServerHttp2Stream): void {
  stream.on('error', () => {}); // Node makes one of the code, for the side that sends it too
  stream.close(REFUSED_STREAM);
}
