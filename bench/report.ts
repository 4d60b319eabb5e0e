/** The figures of a run: medians over rounds, ratios within a round, targets, the table and the file. */

import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { SLOTS } from './primary.js';
import { median } from './timing.js';

/** One subject in one place, ns per call in each round. */
export interface Series {
  readonly place: string;
  readonly subject: string;
  readonly rounds: number[];
}

interface Row {
  readonly place: string;
  readonly subject: string;
  /** Median over the rounds. */
  readonly ns: number;
  /** Half the distance of the quartiles, as a part of the median. */
  readonly spread: number;
  /** To Atomics.add of the same place in the same round; the median. */
  readonly ratio: number;
  readonly target: number | undefined;
}

export interface Report {
  readonly rows: readonly Row[];
  /** The slowest of the rotations of 1 to 1,000 to the fastest. */
  readonly flatness: number;
  readonly met: boolean;
}

const BASELINE = 'Atomics.add';
const FLATNESS = 1.2;

/** At most these ratios to Atomics.add. */
const TARGETS: Readonly<Record<string, number>> = {
  'primary/pid by object': 0.6,
  'primary/pid by name': 1,
  'thread/pid by name': 1.6,
  'replica/pid by name': 1.6,
};

export function report(all: readonly Series[]): Report {
  const rows = all.map(({ place, subject, rounds }): Row => {
    const baseline = all.find((other) => other.place === place && other.subject === BASELINE) as Series;
    const ns = median(rounds);
    const ratio = median(rounds.map((figure, round) => figure / (baseline.rounds[round] as number)));
    const spread = quartileDistance(rounds) / 2 / ns;
    return { place, subject, ns, spread, ratio, target: TARGETS[`${place}/${subject}`] };
  });
  const rotations = SLOTS.map((count) => ratioOf(rows, `rotation of ${count}`));
  const flatness = Math.max(...rotations) / Math.min(...rotations);
  const met =
    flatness <= FLATNESS && rows.every(({ ratio, target }) => target === undefined || ratio <= target);
  return { rows, flatness, met };
}

export function table({ rows, flatness }: Report): string {
  const lines = rows.map((row) => [
    row.place,
    row.subject,
    row.ns.toFixed(2),
    `±${(row.spread * 100).toFixed(0)}%`,
    row.ratio.toFixed(2),
    verdict(row.ratio, row.target),
  ]);
  const last = ['primary', `slowest rotation to fastest`, '', '', '', verdict(flatness, FLATNESS, flatness)];
  return layOut([['place', 'case', 'ns/call', 'spread', 'ratio', 'target'], ...lines, last]);
}

export function write(file: URL, { rows, flatness, met }: Report, all: readonly Series[]): void {
  const machine = { node: process.version, cpu: cpus()[0]?.model, parallelism: availableParallelism() };
  const result = { ...machine, met, flatness, rows, rounds: all };
  writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`);
}

function ratioOf(rows: readonly Row[], subject: string): number {
  return (rows.find((row) => row.subject === subject) as Row).ratio;
}

function verdict(ratio: number, target: number | undefined, shown?: number): string {
  if (target === undefined) return '';
  const figure = shown === undefined ? '' : `${shown.toFixed(2)}: `;
  return `${figure}${ratio <= target ? 'met' : 'MISSED'} (<= ${target})`;
}

function quartileDistance(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (part: number): number => sorted[Math.round(part * (sorted.length - 1))] as number;
  return at(0.75) - at(0.25);
}

function layOut(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] as readonly string[]).map((_, i) =>
    Math.max(...lines.map((line) => (line[i] as string).length)),
  );
  const isNumber = (i: number): boolean => i >= 2 && i <= 4;
  return lines
    .map((line) =>
      line
        .map((cell, i) =>
          isNumber(i) ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
