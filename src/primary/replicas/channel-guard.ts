/**
 * Stands between a replica's IPC channel of Node's and Node's own code in the primary, which takes its workers at their word:
 * what is no message at all, and what speaks Node's words but not in Node's sense, would be an uncaught exception there. And
 * who asks without reading the answers would fill the memory.
 */

import type { ChildProcess } from 'node:child_process';
import { type HandleSender, misfitOf, seqOfQuery } from '../../channel/node-messages.js';
import { MAX_ITEMS, MAX_WAITING } from '../../channel/outbox.js';
import { type Pipe, pipeOf } from '../../channel/pipe.js';
import { NodeSockets } from './node-sockets.js';

/** What a replica is found to have sent. */
export interface ChannelGuardListener {
  /** A message was dropped. @param what the replica did that Node's own primary cannot take. */
  malformed(what: string): void;
  /** No message: nothing more is read, since nobody can say where the next one begins. At most once. */
  broken(error: Error): void;
}

const EINVAL = -22;

/** How often it is looked whether a replica reads again (ms). */
const LOOK_AGAIN = 20;

/** Where the pipe is not found the messages alone are guarded. */
export function guardChannel(child: ChildProcess, listener: ChannelGuardListener): void {
  const pipe = pipeOf(child);
  if (pipe !== undefined) guardReading(child, pipe, listener);
  guardMessages(child, listener);
}

function guardReading(child: ChildProcess, pipe: Pipe, listener: ChannelGuardListener): void {
  const { onread } = pipe;
  let isBroken = false;
  pipe.onread = function (chunk) {
    if (chunk === undefined) return onread.call(this, chunk); // the end, which has listeners of its own
    if (isBroken) return;
    try {
      onread.call(this, chunk);
    } catch (error) {
      isBroken = true;
      listener.broken(error as Error);
    }
    if (isBehind()) pause();
  };

  /** It does not read what it is sent. */
  function isBehind(): boolean {
    const handles = (child as HandleSender)._handleQueue; // and what waits behind them
    return pipe.writeQueueSize > MAX_WAITING || (Array.isArray(handles) && handles.length > MAX_ITEMS);
  }

  /** Its questions wait in its own memory, until it has read enough or is gone. */
  function pause(): void {
    if (child.exitCode !== null || child.signalCode !== null) return;
    pipe.readStop();
    const timer = setInterval(() => {
      if (!isBehind()) resume();
    }, LOOK_AGAIN);
    child.once('exit', resume);

    function resume(): void {
      clearInterval(timer);
      child.off('exit', resume);
      if (child.connected) pipe.readStart();
    }
  }
}

/** All that listen for Node's internal messages get them by this `emit`. */
function guardMessages(child: ChildProcess, listener: ChannelGuardListener): void {
  const { emit, send } = child;
  const sockets = new NodeSockets();
  child.send = function (this: ChildProcess, ...args: unknown[]): boolean {
    sockets.answered(args[0]);
    return Reflect.apply(send, this, args);
  } as ChildProcess['send'];
  child.emit = function (this: ChildProcess, event: string, ...args: unknown[]): boolean {
    const misfit =
      event === 'internalMessage' &&
      (misfitOf(args[0], args[1], child as HandleSender) ?? sockets.misfitOf(args[0]));
    if (!misfit) return Reflect.apply(emit, this, [event, ...args]);
    listener.malformed(misfit);
    refuse(child, args[0], args[1]);
    return true;
  } as ChildProcess['emit'];
}

/** Whoever waits for an answer gets one: a socket that fails says so in the replica, and its channel goes on. */
function refuse(child: ChildProcess, message: unknown, handle: unknown): void {
  (handle as { close?(): void } | undefined)?.close?.();
  const seq = seqOfQuery(message);
  if (seq !== undefined) answer(child, { cmd: 'NODE_CLUSTER', ack: seq, errno: EINVAL, data: null });
  else if ((message as { cmd?: unknown } | null)?.cmd === 'NODE_HANDLE')
    answer(child, { cmd: 'NODE_HANDLE_NACK' });
}

function answer(child: ChildProcess, message: object): void {
  if (child.connected) child.send(message, undefined, undefined, () => {}); // one that is gone needs none
}
