/**
 * Stands between a replica's channel and Node's own code in the primary, which takes its workers at their word: what is
 * no message at all, and what speaks Node's words but not in Node's sense, would be an uncaught exception there.
 */

import type { ChildProcess } from 'node:child_process';
import { type HandleSender, isHarmless } from '../wire/node-messages.js';

/** What a replica is found to have sent. */
export interface GuardListener {
  /** A message that was dropped. */
  malformed(): void;
  /** No message: nothing more is read, since nobody can say where the next one begins. At most once. */
  broken(error: Error): void;
}

/** Node's internal handle of a channel. `onread` parses what came; the messages are delivered later. */
interface Pipe {
  onread(this: Pipe, chunk: ArrayBuffer | undefined): void;
}

export function guard(child: ChildProcess, listener: GuardListener): void {
  const pipe = pipeOf(child);
  if (pipe !== undefined) guardReading(pipe, listener);
  guardMessages(child, listener);
}

/** Node has it under a symbol of its own. Undefined where it has it there no more: then the messages alone are guarded. */
function pipeOf(child: ChildProcess): Pipe | undefined {
  const fields = child as unknown as Record<symbol, Partial<Pipe> | null | undefined>;
  const symbol = Object.getOwnPropertySymbols(child).find((key) => typeof fields[key]?.onread === 'function');
  return symbol && (fields[symbol] as Pipe);
}

function guardReading(pipe: Pipe, listener: GuardListener): void {
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
  };
}

/** All that listen for Node's internal messages get them by this `emit`. */
function guardMessages(child: ChildProcess, listener: GuardListener): void {
  const { emit } = child;
  child.emit = function (this: ChildProcess, event: string, ...args: unknown[]): boolean {
    if (event === 'internalMessage' && !isHarmless(args[0], args[1], child as HandleSender)) {
      listener.malformed();
      return true;
    }
    return Reflect.apply(emit, this, [event, ...args]);
  } as ChildProcess['emit'];
}
