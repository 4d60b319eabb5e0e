/** When calls are to be sent: at random, independently of each other and of the replies, the same for the same seed. */

/**
 * Poisson arrivals, given their number: times drawn evenly, in order. So each round has just the load that it is to have.
 * @param perSecond calls a second.
 * @returns the time of each call, in ms from the beginning.
 */
export function schedule(seed: number, perSecond: number, ms: number): number[] {
  const random = generator(seed);
  const calls = Math.round((perSecond * ms) / 1000);
  return Array.from({ length: calls }, () => random() * ms).sort((a, b) => a - b);
}

/** Tommy Ettinger's mulberry32: numbers from 0 to below 1. */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
