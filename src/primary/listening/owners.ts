/** Numbers supervisors, so that what their replicas listen on has another name for each of them. */

const numbers = new WeakMap<object, number>();

let last = 0;

/** From 1 on. */
export function numberOf(owner: object): number {
  const known = numbers.get(owner);
  if (known !== undefined) return known;
  numbers.set(owner, ++last);
  return last;
}
