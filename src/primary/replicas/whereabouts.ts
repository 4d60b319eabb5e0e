/** Where a message is whose caller has waited in vain, and why it is still there: the text of ERR_TIMEOUT. */

import type { RequestKind } from '../../channel/protocol.js';

export interface Whereabouts {
  readonly text: string;
  /** The replica that has the message, if one has it. */
  readonly pid?: number;
}

/** What a replica has of a message, and what can be seen of the replica. */
export interface Custody {
  readonly kind: RequestKind;
  /** How far the message has come: it waits in the primary, it has gone out, the replica has begun it. */
  readonly stage: 'waiting' | 'sent' | 'begun';
  readonly pid: number;
  /** File name of the script that the replica runs. */
  readonly script: string;
  /** Whether the replica's preload has run. */
  readonly greeted: boolean;
  /** Whether the script has called handle(). */
  readonly handles: boolean;
  /** Its other unfinished messages. */
  readonly others: number;
  /** Requests that its servers are running. */
  readonly requests: number;
  /** Its event loop does not turn. */
  readonly blocked: boolean;
  /** ms since its event loop began the turn that it is in; 0 where it waits for work. */
  readonly turn: number;
}

/** ms from which a turn of the event loop is long enough to explain something. */
const LONG_TURN = 100;

export function inReplica(custody: Custody): Whereabouts {
  const { pid, script } = custody;
  return { text: `replica ${pid} (${script}) ${what(custody)}${loop(custody)}`, pid };
}

function what({ kind, stage, greeted, handles, others, requests }: Custody): string {
  if (!greeted) return 'is still starting';
  if (stage === 'waiting') return 'does not read its channel; the message waits in the primary';
  if (stage === 'begun') return 'is running it';
  if (kind !== 'ping')
    return handles ? 'has it in its mailbox and has not begun it' : 'has not called handle()';
  const unfinished = `${count(others, 'message')} and ${count(requests, 'request')} unfinished`;
  return !handles && others > 0 ? `has not called handle(), and has ${unfinished}` : `has ${unfinished}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function loop({ blocked, turn }: Custody): string {
  if (turn >= LONG_TURN) return `; its event loop has not turned for ${Math.round(turn)} ms`;
  return blocked ? '; its event loop is blocked' : '';
}
