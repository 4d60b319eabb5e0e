/** Which of the names that there are somebody may have meant. */

/** @returns the name that is spelt most alike; undefined where none is close. */
export function closest(given: string, names: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(given.length / 3)) + 1;
  for (const name of names) {
    const distance = isBeginning(given, name) ? 1 : editDistance(given, name);
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best;
}

/** ` (did you mean …?)`, or nothing. */
export function hint(given: string, names: Iterable<string>, prefix = ''): string {
  const name = closest(given, names);
  return name === undefined ? '' : `. Did you mean ${prefix}${name}?`;
}

function isBeginning(given: string, name: string): boolean {
  return given.length >= 3 && name.startsWith(given);
}

/** Levenshtein's, with two neighbours that have changed places as one step. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const steps = [at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (isSame ? 0 : 1)];
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) steps.push(at(beforeLast, j - 2) + 1);
      row.push(Math.min(...steps));
    }
    beforeLast = last;
    last = row;
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? 0;
}
