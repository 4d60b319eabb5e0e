/** One end of the channel between two processes, as Node keeps it: what it has no public name for. */

/** A child process, in its parent; or `process`, in the child. */
export interface ChannelEnd {
  disconnect?: (() => void) | undefined;
}

/** Node's internal handle of a channel. `onread` parses what came; the messages are delivered later. */
export interface Pipe {
  /** Bytes that the kernel has not taken. */
  readonly writeQueueSize: number;
  readStop(): void;
  readStart(): void;
  /** @param chunk none at the end. */
  onread(this: Pipe, chunk: ArrayBuffer | undefined): void;
}

/** Node has it under a symbol of its own. Undefined where it has it there no more. */
export function pipeOf(end: object): Pipe | undefined {
  const fields = end as Record<symbol, Partial<Pipe> | null | undefined>;
  const symbol = Object.getOwnPropertySymbols(end).find((key) => typeof fields[key]?.onread === 'function');
  return symbol && (fields[symbol] as Pipe);
}

/**
 * From now on `end.disconnect()` only calls `asked`, so that the channel is there until nobody needs it any more. Node's own call,
 * when the other side has closed it, works as ever; so do all of them where the pipe is not found.
 * @returns `disconnect` as it was.
 */
export function keepConnected(end: ChannelEnd, asked: () => void): () => void {
  const { disconnect } = end;
  const pipe = pipeOf(end);
  if (pipe !== undefined) {
    const { onread } = pipe;
    let isClosed = false;
    pipe.onread = function (chunk) {
      isClosed ||= chunk === undefined;
      onread.call(this, chunk);
    };
    end.disconnect = () => (isClosed ? disconnect?.call(end) : asked());
  }
  return () => disconnect?.call(end);
}
