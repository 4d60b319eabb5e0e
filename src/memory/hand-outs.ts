/** How many tickets a ring has given out, over all its generations and wraps. No shared memory here: it is told what that says. */

/** Dips seen one after another from which on the ring is taken to have been written over. */
const DIPS = 2;

export class HandOuts {
  /** Where the tickets of this generation began. */
  #first: number;
  readonly #wrappedBefore: number;
  /** Of the generations before. Below 0 where one has ended after a wrap. */
  #before = 0;
  #most = 0;
  #dips = 0;

  /** @param first ticket of the first generation. @param wrapped what the ring has lost by wraps for others before. */
  constructor(first: number, wrapped: number) {
    this.#first = first;
    this.#wrappedBefore = wrapped;
  }

  /** A generation has ended at ticket `last`, and the next begins at `first`. */
  published(last: number, first: number): void {
    this.#before += last - this.#first;
    this.#first = first;
  }

  /**
   * All hand-outs. Never less than before: a claimant that has wrapped the ticket says so a moment later, and what is missing
   * in between comes back. What does not come back was written by somebody else; the count goes on from where it was.
   * @param ticket read after `wrapped`.
   */
  total(ticket: number, wrapped: number): number {
    const count = this.#before + ticket - this.#first + wrapped - this.#wrappedBefore;
    if (count >= this.#most && Number.isSafeInteger(count)) {
      this.#most = count;
      this.#dips = 0;
    } else if (++this.#dips >= DIPS) {
      this.#before += this.#most - count;
      this.#dips = 0;
    }
    return this.#most;
  }
}
