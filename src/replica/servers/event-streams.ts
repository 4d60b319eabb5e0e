/**
 * Event streams (`text/event-stream`) never end by themselves, and their clients are made to connect again. So those of a
 * replica that stops are ended at once.
 */

import type { Answer } from './arrivals.js';

const TYPE = /^text\/event-stream\s*(?:;|$)/i;

/** In a head of HTTP/1.1 that has been written. */
const TYPE_IN_HEAD = /^content-type:[ \t]*text\/event-stream[ \t]*(?:;|\r?$)/im;

/** Ends the answer where it is an event stream that has begun. Calling it again does nothing. */
export function endIfEventStream(answer: Answer): void {
  if (answer.writableEnded || !isEventStream(answer)) return;
  answer.on('error', ignore); // the script may write once more before it learns of the end
  answer.end();
}

function isEventStream(answer: Answer): boolean {
  if (!answer.headersSent) return false; // it may become one
  if ('sentHeaders' in answer) return isType(answer.sentHeaders?.['content-type']);
  // Headers that were given to writeHead() alone are in the written head only, which Node has no public name for.
  const { _header: head } = answer as { _header?: unknown };
  return typeof head === 'string' ? TYPE_IN_HEAD.test(head) : isType(answer.getHeader('content-type'));
}

function isType(value: unknown): boolean {
  return typeof value === 'string' && TYPE.test(value);
}

function ignore(): void {}
