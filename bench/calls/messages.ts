/** What is sent, and what must come back. */

export interface Message {
  readonly n: number;
  readonly text?: string;
  readonly data?: Uint8Array;
  /** How long the worker is to be busy. */
  readonly turns?: number;
}

export interface Reply {
  readonly n: number;
  readonly text?: string;
  readonly data?: Uint8Array;
  readonly sum?: number;
}

/** The CPU task, the same for every process: see peers/workers/task.cjs. */
export interface CpuTask {
  readonly turns: number;
  readonly sum: number;
}

/** What a message carries: so many characters, so many bytes, or the CPU task. */
export type Sample =
  | { readonly sort: 'text'; readonly length: number }
  | { readonly sort: 'buffer'; readonly length: number }
  | { readonly sort: 'cpu' };

/** @param task the CPU task, for samples of it. */
export function payloadOf(sample: Sample, task: CpuTask): Payload {
  if (sample.sort === 'cpu') return cpu(task);
  return sample.sort === 'text' ? echo(sample.length) : buffer(sample.length);
}

/** Sorts of messages, each with its check. */
export interface Payload {
  make(n: number): Message;
  /** @throws Error where the reply is not that to make(n). */
  check(n: number, reply: Reply): void;
}

/** Characters of the text that an echo carries; the whole message is 22 longer. */
export function echo(length: number): Payload {
  const text = 'abcdefghij klmnop qrstuv wxyz 0123456789 '.repeat(Math.ceil(length / 41)).slice(0, length);
  return {
    make: (n) => ({ n, text }),
    check(n, reply) {
      if (reply.n !== n || reply.text !== text) throw wrong(n, reply);
    },
  };
}

/** A buffer of so many bytes. Looking at each of them would take longer than some need to send it: every 4 KiB one. */
function buffer(length: number): Payload {
  const data = Buffer.from(Uint8Array.from({ length }, (_, i) => i * 31 + (i >> 12) * 7));
  const isRight = (got: unknown): boolean => {
    if (!(got instanceof Uint8Array) || got.length !== length) return false;
    for (let i = length - 1; i >= 0; i -= 4096) if (got[i] !== data[i]) return false;
    return true;
  };
  return {
    make: (n) => ({ n, data }),
    check(n, reply) {
      if (reply.n !== n || !isRight(reply.data)) throw wrong(n, reply);
    },
  };
}

export function cpu({ turns, sum }: CpuTask): Payload {
  return {
    make: (n) => ({ n, turns }),
    check(n, reply) {
      if (reply.n !== n || reply.sum !== sum) throw wrong(n, reply);
    },
  };
}

function wrong(n: number, reply: Reply): Error {
  return new Error(`a wrong reply to message ${n}: ${JSON.stringify(reply)?.slice(0, 200)}`);
}
