/**
 * The listening sockets that the replicas of one supervisor share, by what they are bound to, as node:cluster keys them:
 * bound at the first replica's listen, and open until the last has closed it. A death closes nothing, so what waits in
 * the backlog is there for the replica that comes next. Another supervisor's socket is another one: if it wants the same
 * port, that is in use.
 */

import type { Worker } from 'node:cluster';
import {
  isCloseNotice,
  isHandoverAnswer,
  isListenQuery,
  type ListenAnswer,
  type ListenQuery,
} from '../../channel/listening.js';
import type { Segment } from '../../memory/segment.js';
import { OUR_KEY } from '../replicas/node-sockets.js';
import { BalancedListener, giveIndexBack, takeIndex } from './balanced.js';
import { acceptFrom, type BindFailure, bind, canBind, listenWithoutAccepting } from './listening-socket.js';
import { separateQueries } from './node-queries.js';
import { numberOf } from './owners.js';
import { type StickyKey, StickyListener } from './sticky.js';

/** Whose servers listen, and how. */
export interface Served {
  readonly worker: Worker;
  /** Its supervisor. */
  readonly owner: object;
  /** Its slot, which its successors get as well. */
  readonly place: number;
  /** Undefined: in turn. */
  readonly sticky: StickyKey | undefined;
}

/** How the connections of one socket reach the replicas. */
interface Sharing {
  add(worker: Worker, place: number, query: ListenQuery, data: unknown): void;
  remove(worker: Worker): void;
  close(): void;
}

interface Listener {
  readonly key: string;
  readonly sharing: Sharing;
  /** What the first server wants the others to have. */
  readonly data: unknown;
  /** The replicas that listen. */
  readonly holders: Set<Worker>;
  /** The places of replicas that have died with it: those that come next there may come for it. */
  readonly awaited: Set<number>;
}

const listeners = new Map<string, Listener>();

/** From now on the servers of this replica get their sockets here. */
export function serve(served: Served, segment: Segment): void {
  const { worker, owner, place } = served;
  separateQueries(worker, owner, segment.addon);
  worker.process.on('internalMessage', (message: unknown) => {
    if (isListenQuery(message)) listen(served, segment, message);
    else if (isCloseNotice(message)) closed(worker, message.key);
    else if (isHandoverAnswer(message)) answered(worker, message.ack, message.accepted);
  });
  worker.once('exit', () => {
    for (const listener of listeners.values()) {
      if (remove(listener, worker)) listener.awaited.add(place);
    }
  });
}

/** No replica comes in that place any more. */
export function release(place: number): void {
  for (const listener of listeners.values()) if (listener.awaited.delete(place)) closeIfUnused(listener);
}

function listen({ worker, owner, place, sticky }: Served, segment: Segment, query: ListenQuery): void {
  if (worker.exitedAfterDisconnect) return; // as Node: it is leaving
  const { address, port, addressType, fd, index, seq } = query;
  const key = `${OUR_KEY}${numberOf(owner)}:${address}:${port}:${addressType}:${fd}:${index}`;
  const listener = listeners.get(key) ?? open(key, segment, query, sticky);
  if (listener === undefined) {
    // No room. Node's own primary takes the question from here.
    const asNodeAsks = { ...query, act: 'queryServer' };
    worker.process.emit('internalMessage' as 'message', asNodeAsks, undefined as never);
  } else if ('errno' in listener) {
    const { errno, address: tried } = listener;
    const answer: ListenAnswer = { cmd: 'NODE_CLUSTER', ack: seq, key, errno, address: tried, data: null };
    worker.process.send(answer, undefined, undefined, () => {});
  } else {
    listener.holders.add(worker);
    listener.awaited.delete(place);
    listener.sharing.add(worker, place, query, listener.data);
  }
}

/** @returns undefined where the segment has no room. */
function open(
  key: string,
  segment: Segment,
  query: ListenQuery,
  sticky: StickyKey | undefined,
): Listener | BindFailure | undefined {
  if (!canBind) return undefined;
  const sharing = sticky === undefined ? inTurn(key, segment, query) : bySticky(key, segment, query, sticky);
  if (sharing === undefined || 'errno' in sharing) return sharing;
  const listener: Listener = { key, sharing, data: query.data, holders: new Set(), awaited: new Set() };
  listeners.set(key, listener);
  return listener;
}

function inTurn(key: string, segment: Segment, query: ListenQuery): Sharing | BindFailure | undefined {
  const index = takeIndex(segment);
  if (index === undefined) return undefined;
  const { addon } = segment;
  const socket = bind(query, addon, (bound) => listenWithoutAccepting(bound, query, addon));
  if (!('errno' in socket)) return new BalancedListener(segment, key, socket, index);
  giveIndexBack(segment, index);
  return socket;
}

function bySticky(
  key: string,
  segment: Segment,
  query: ListenQuery,
  sticky: StickyKey,
): Sharing | BindFailure {
  const { addon } = segment;
  const socket = bind(query, addon, (bound) => listenWithoutAccepting(bound, query, addon));
  if ('errno' in socket) return socket;
  return new StickyListener(key, socket, segment, sticky, () => acceptFrom(socket, query, addon));
}

function answered(worker: Worker, seq: number, accepted: boolean): void {
  for (const { sharing } of listeners.values())
    if (sharing instanceof StickyListener) sharing.answered(worker, seq, accepted);
}

/** @returns whether it was a holder. */
function remove({ holders, sharing }: Listener, worker: Worker): boolean {
  if (!holders.delete(worker)) return false;
  sharing.remove(worker);
  return true;
}

/**
 * A script that closes its server speaks for all replicas: where it is the last one, nobody comes for the socket
 * because another has died with it. A replica that leaves speaks for itself.
 */
function closed(worker: Worker, key: string): void {
  const listener = listeners.get(key);
  if (listener === undefined || !remove(listener, worker)) return;
  const { holders, awaited } = listener;
  if (!worker.exitedAfterDisconnect && holders.size === 0) awaited.clear();
  closeIfUnused(listener);
}

function closeIfUnused({ key, sharing, holders, awaited }: Listener): void {
  if (holders.size > 0 || awaited.size > 0) return;
  listeners.delete(key);
  sharing.close();
}
