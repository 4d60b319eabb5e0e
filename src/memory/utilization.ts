/**
 * How busy an event loop is, from looks at the time that it has spent waiting. No processes and no clocks here. The
 * time lies in shared memory that replicas write, so any value may come.
 */

/** What is measured covers at least so much, but for the first time: several can ask, and none spoils it for another. */
const PERIOD = 1_000_000_000n; // ns

interface Look {
  readonly at: bigint;
  readonly idle: bigint;
}

export class Utilization {
  readonly #first: Look;
  #older: Look;
  #newer: Look;
  #last = 0;
  #busy = 0;

  /** @param idle as Slot.idle. @param now monotonic ns. */
  constructor(idle: bigint, now: bigint) {
    this.#first = lookAt(idle, now);
    this.#older = this.#first;
    this.#newer = this.#first;
  }

  /** ms for which the loop has not waited, since the first look. Never less than before, never more than have passed. */
  busy(idle: bigint, now: bigint): number {
    const look = lookAt(idle, now);
    const passed = look.at - this.#first.at;
    const busy = passed - (look.idle - this.#first.idle);
    this.#busy = Math.max(this.#busy, Math.min(Number(busy), Number(passed)) / 1e6);
    return this.#busy;
  }

  /** 0 to 1: the part of the time since an earlier look, a second ago or more, in which the loop did not wait. */
  look(idle: bigint, now: bigint): number {
    const look = lookAt(idle, now);
    if (look.at - this.#newer.at >= PERIOD) {
      this.#older = this.#newer;
      this.#newer = look;
    }
    const time = look.at - this.#older.at;
    if (time > 0n) {
      const busy = 1 - Number(look.idle - this.#older.idle) / Number(time);
      this.#last = Math.min(Math.max(0, busy), 1);
    }
    return this.#last;
  }
}

/** While the loop waits, `idle` is negative: less the time at which it began to. */
function lookAt(idle: bigint, now: bigint): Look {
  return { at: now, idle: idle < 0n ? idle + now : idle };
}
