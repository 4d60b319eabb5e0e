/** Medians, quantiles and spreads of numbers, and how large numbers are written. */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(numbers: readonly number[]): Spread {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1) };
}

/** Of each round's figure to another's in the same round; the median. NaN where there is no other. */
export function medianRatio(figures: readonly number[], others: readonly number[] = []): number {
  return spread(figures.map((figure, round) => figure / (others[round] ?? Number.NaN))).median;
}

/** Whether a target is reached. @param reached NaN: not measured. */
export function verdictOf(reached: number, isMet: boolean): string {
  if (Number.isNaN(reached)) return 'not measured';
  return isMet ? 'met' : 'MISSED';
}

/** The lowest of the numbers that `part` of them do not exceed. */
export function quantile(numbers: readonly number[], part: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;
}

/** Three digits are as many as two runs agree on. */
export function threeDigits(number: number): string {
  if (!Number.isFinite(number)) return '';
  if (number === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(number))));
  const rounded = Number(number.toPrecision(3));
  return rounded.toLocaleString('en-US', {
    minimumFractionDigits: Math.min(digits, 3),
    maximumFractionDigits: 3,
  });
}

export function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, key: Math.random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
