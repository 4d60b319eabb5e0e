/**
 * The listening sockets that replicas share, by what they are bound to, as node:cluster keys them: bound at the first
 * replica's listen, and open until the last has closed it. A death closes nothing, so what waits in the backlog is there
 * for the replica that comes next.
 */

import type { Worker } from 'node:cluster';
import type { Segment } from '../memory/segment.js';
import { isCloseNotice, isListenQuery, type ListenAnswer, type ListenQuery } from '../wire/listening.js';
import { bind, canBind, type ListeningSocket, sendable } from './listening-socket.js';

interface Listener {
  readonly key: string;
  /** In the segment. */
  readonly index: number;
  readonly socket: ListeningSocket;
  /** What the first server wants the others to have. */
  readonly data: unknown;
  /** The replicas that listen, and whose they are. */
  readonly holders: Map<Worker, object>;
  /** Whose replicas have died with it: others of theirs may come for it. */
  readonly awaited: Set<object>;
}

const listeners = new Map<string, Listener>();
let freeIndexes: number[] | undefined;

/** From now on the servers of this replica get their sockets here. @param owner its supervisor. */
export function serve(worker: Worker, owner: object, segment: Segment): void {
  worker.process.on('internalMessage', (message: unknown) => {
    if (isListenQuery(message)) query(worker, owner, segment, message);
    else if (isCloseNotice(message)) closed(worker, message.key);
  });
  worker.once('exit', () => {
    for (const listener of listeners.values()) {
      if (listener.holders.delete(worker)) listener.awaited.add(owner);
    }
  });
}

/** The owner has no replicas any more and gets none. */
export function release(owner: object): void {
  for (const listener of listeners.values()) {
    listener.awaited.delete(owner);
    closeIfUnused(listener);
  }
}

function query(worker: Worker, owner: object, segment: Segment, message: ListenQuery): void {
  if (worker.exitedAfterDisconnect) return; // as Node: it is leaving
  const { address, port, addressType, index } = message;
  const key = `ballermann:${address}:${port}:${addressType}:${index}`;
  const listener = listeners.get(key) ?? open(key, segment, message);
  if (listener === undefined) {
    // No room. Node's own primary takes the question from here.
    worker.process.emit(
      'internalMessage' as 'message',
      { ...message, act: 'queryServer' },
      undefined as never,
    );
  } else if (typeof listener === 'number') {
    answer(worker, message, { key, errno: listener, data: null });
  } else {
    listener.holders.set(worker, owner);
    answer(
      worker,
      message,
      { key, errno: 0, data: listener.data, listener: listener.index },
      listener.socket,
    );
  }
}

/** @returns a negative errno; undefined where the segment has no room. */
function open(key: string, segment: Segment, message: ListenQuery): Listener | number | undefined {
  freeIndexes ??= Array.from({ length: segment.addon.layout.listenerCount }, (_, i) => i).reverse();
  const index = freeIndexes.at(-1);
  if (index === undefined || !canBind) return undefined;
  const socket = bind(message, segment.addon);
  if (typeof socket === 'number') return socket;
  freeIndexes.pop();
  segment.words.fill(0, segment.listenerWord(index), segment.listenerWord(index + 1));
  const listener = { key, index, socket, data: message.data, holders: new Map(), awaited: new Set<object>() };
  listeners.set(key, listener);
  return listener;
}

function answer(
  worker: Worker,
  { seq }: ListenQuery,
  rest: Omit<ListenAnswer, 'cmd' | 'ack'>,
  socket?: ListeningSocket,
): void {
  const message: ListenAnswer = { cmd: 'NODE_CLUSTER', ack: seq, ...rest };
  const handle = socket && sendable(socket);
  worker.process.send(message, handle, undefined, () => {}); // a replica that is gone needs no answer
}

/** The last word of its owner's replicas: nobody comes for the socket because another has died with it. */
function closed(worker: Worker, key: string): void {
  const listener = listeners.get(key);
  const owner = listener?.holders.get(worker);
  if (listener === undefined || owner === undefined) return;
  listener.holders.delete(worker);
  if (![...listener.holders.values()].includes(owner)) listener.awaited.delete(owner);
  closeIfUnused(listener);
}

function closeIfUnused({ key, index, socket, holders, awaited }: Listener): void {
  if (holders.size > 0 || awaited.size > 0) return;
  listeners.delete(key);
  freeIndexes?.push(index);
  socket.close();
}
