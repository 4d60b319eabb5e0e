/** When a pool has lost so many replicas that it looks for new ones. No processes here. */

/** True where alive / original is below the ratio. Multiplied out, so that 8 of 10 is not below 0.8. */
export function isBelowRatio(alive: number, original: number, ratio: number): boolean {
  return alive < original * ratio - TOLERANCE;
}

/** Products such as 0.7 * 10 miss the whole number that is meant by a few units in the last place. */
const TOLERANCE = 1e-9;
