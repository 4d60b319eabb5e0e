/**
 * Answers that have no end of their own, and whose clients are made to connect again: event streams (`text/event-stream`), and
 * the long polls of Socket.IO. Those of a replica that stops are ended at once.
 */

import type { ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';

type Answer = ServerResponse | ServerHttp2Stream;

const TYPE = /^text\/event-stream\s*(?:;|$)/i;

/** In a head of HTTP/1.1 that has been written. */
const TYPE_IN_HEAD = /^content-type:[ \t]*text\/event-stream[ \t]*(?:;|\r?$)/im;

/** Of engine.io 4, below Socket.IO from version 3 on: the server closes, as its own close() says it. */
const CLOSE_PACKET = '1';

/** Calling it again does nothing. */
export function endIfEndless(answer: Answer): void {
  if (answer.writableEnded) return;
  if (isEventStream(answer)) {
    answer.on('error', ignore); // the script may write once more before it learns of the end
    answer.end();
  } else if (isPoll(answer)) {
    answer.on('error', ignore);
    answer.writeHead(200, { 'Content-Type': 'text/plain; charset=UTF-8' }).end(CLOSE_PACKET);
    answer.writeHead = () => answer; // engine.io may do so once more
  }
}

function isEventStream(answer: Answer): boolean {
  if (!answer.headersSent) return false; // it may become one
  if ('sentHeaders' in answer) return TYPE.test(String(answer.sentHeaders?.['content-type']));
  // Headers that were given to writeHead() alone are in the written head only, which Node has no public name for.
  const { _header: head } = answer as { _header?: unknown };
  return TYPE_IN_HEAD.test(String(head));
}

/** engine.io keeps the query on the request; its first one has no session yet, and is answered at once. */
function isPoll(answer: Answer): answer is ServerResponse {
  if ('sentHeaders' in answer || answer.headersSent || answer.req.method !== 'GET') return false;
  const { _query: query } = answer.req as { _query?: Readonly<Record<string, unknown>> };
  return query?.['EIO'] === '4' && query['transport'] === 'polling' && typeof query['sid'] === 'string';
}

function ignore(): void {}
