/** Counts that the segment holds in 32 bits: after 2^32 - 1 comes 0, so their differences tell, and nothing else does. */

/**
 * Whether `count` is `other` or comes before it, modulo 2^32. They must be less than 2^31 apart, and safe integers: each is
 * brought to 32 bits by itself, since their difference may be none.
 */
export function isAtMost(count: number, other: number): boolean {
  return (((count | 0) - (other | 0)) | 0) <= 0;
}

/** Goes on where a count of 32 bits begins again. It has to be shown that count once in 2^31 steps at least. */
export class LongCount {
  #last = 0;
  #total = 0;

  /** @param count as it is now. What goes back is not one of ours: somebody has written over it, and it counts for nothing. */
  look(count: number): number {
    this.#total += Math.max(0, (count - this.#last) | 0);
    this.#last = count;
    return this.#total;
  }
}
