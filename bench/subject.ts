/** What is timed: a function that gives a number, and the numbers that it must give. */

/** The next answers of a task, as a sum: the timed loop adds them up, which also keeps them from being optimised away. */
export interface Expectation {
  /** The sum, modulo 2^32, of the next `calls` answers. Called after each timed loop, in order. */
  next(calls: number): number;
}

export interface Subject {
  readonly name: string;
  readonly task: () => number;
  /** Hand-outs that one call of `task` makes. @default 1 */
  readonly callsPerTask?: number;
  readonly expected: Expectation;
  /** Looks, after all rounds, at what sums cannot tell. @throws Error. */
  verify?(): void;
}

/** Always the same number. */
export function constantly(value: number): Expectation {
  return { next: (calls) => Math.imul(value, calls) };
}

/** start, start + 1, start + 2 …, modulo 2^32. */
export function countingFrom(start: number): Expectation {
  let at = BigInt(start);
  return {
    next(calls) {
      const n = BigInt(calls);
      const sum = n * at + (n * (n - 1n)) / 2n;
      at += n;
      return Number(BigInt.asIntN(32, sum));
    },
  };
}

/** The answers of several expectations, one of each at a time. */
export function together(...parts: Expectation[]): Expectation {
  return { next: (calls) => parts.reduce((sum, part) => (sum + part.next(calls)) | 0, 0) };
}

/** The pids of a rotation in turn, whoever in this thread asks: `order` again and again, without an end. */
export class Turns implements Expectation {
  readonly #order: readonly number[];
  readonly #take: () => number;
  #at = 0;

  /** Learns the order by two rounds of hand-outs. @throws Error where they differ or a pid comes twice in one. */
  constructor(members: number, take: () => number) {
    this.#take = take;
    this.#order = Array.from({ length: members }, take);
    if (new Set(this.#order).size !== members || this.#order.some((pid) => take() !== pid)) {
      throw new Error(`not a rotation of ${members}: ${this.#order.join(' ')}`);
    }
  }

  next(calls: number): number {
    const members = this.#order.length;
    const rest = (this.#at + calls) % members;
    const whole = (this.#at + calls - rest) / members;
    const sum = Math.imul(whole, sumOf(this.#order)) + sumOf(this.#order.slice(0, rest));
    const before = sumOf(this.#order.slice(0, this.#at));
    this.#at = rest;
    return (sum - before) | 0;
  }

  /** Counts the hand-outs of each pid, over several claimed blocks. @throws Error unless they are even. */
  verify(): void {
    const each = 3000;
    const counts = new Map<number, number>();
    for (let i = 0; i < each * this.#order.length; i++) {
      const pid = this.#take();
      counts.set(pid, (counts.get(pid) ?? 0) + 1);
    }
    for (const pid of this.#order) {
      if (counts.get(pid) !== each) {
        throw new Error(`pid ${pid} was handed out ${counts.get(pid)} times of ${each}`);
      }
    }
  }
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => (sum + number) | 0, 0);
}
