/** Weakened variants, each of which has to be caught. */
import { inParallel } from '../lib/in-parallel.js';

/**
 * Says of each mutant whether it was caught, and how. @throws where one was not.
 *
 * @param caughtBy answers how a mutant was caught, undefined where it was not
 */
export async function catchEach(mutants, caughtBy) {
  const caught = await inParallel(2, mutants, caughtBy);
  mutants.forEach(({ name, what }, index) => {
    console.log(
      `  ${caught[index] === undefined ? 'NOT CAUGHT' : 'caught'} ${name} (${what}): ${caught[index] ?? ''}`,
    );
  });
  const count = caught.filter((how) => how !== undefined).length;
  if (count < mutants.length) throw new Error(`${count} of ${mutants.length} mutants caught`);
  return `${count} of ${mutants.length} mutants caught`;
}
