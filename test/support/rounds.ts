/** How often a test with chance in it is run: a few times by default, as often as BALLERMANN_ROUNDS says in the long form. */

const NAME = 'BALLERMANN_ROUNDS';

/** @param few what is enough for every run of the suite. */
export function rounds(few: number): number {
  const wanted = process.env[NAME];
  if (wanted === undefined) return few;
  const count = Number(wanted);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new RangeError(`${NAME} must be a whole number above 0; got ${wanted}`);
  return count;
}
