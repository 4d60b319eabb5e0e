/** What is sent, and what must come back. */

export interface Message {
  readonly n: number;
  readonly text?: string;
  /** How long the worker is to be busy. */
  readonly turns?: number;
}

export interface Reply {
  readonly n: number;
  readonly text?: string;
  readonly sum?: number;
}

/** The CPU task, the same for every process: see peers/workers/task.cjs. */
export interface CpuTask {
  readonly turns: number;
  readonly sum: number;
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
