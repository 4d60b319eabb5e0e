/** The figures of a run: medians over rounds, ratios within a round, the table and the target. */

import { medianRatio, quantile, spread, threeDigits, verdictOf } from '../figures.js';
import { table } from '../tables.js';
import { type Case, target } from './cases.js';
import type { Sample } from './load.js';

/** One run of one selection. */
export interface Round {
  readonly calls: number;
  /** ms. */
  readonly p50: number;
  readonly p99: number;
  /** Part of the calls that the first replica got. */
  readonly toFirst: number;
}

export interface Series {
  readonly selection: string;
  readonly rounds: readonly Round[];
}

export interface Measured {
  readonly case: Case;
  /** Calls a second that were sent, to what the replicas could do by the times that they took in the rounds. */
  readonly realLoad: number;
  /** ms that each replica took for a message in the rounds, the mean. */
  readonly took: readonly number[];
  /** ms that 99 % of the calls were sent after the planned time at most. */
  readonly late: number;
  readonly series: readonly Series[];
}

export function figures(samples: readonly Sample[], first: number): Round {
  const latencies = samples.map(({ latency }) => latency);
  const toFirst = samples.filter(({ served }) => served.pid === first).length / samples.length;
  return {
    calls: samples.length,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    toFirst,
  };
}

export function report(results: readonly Measured[], markdown: boolean): string {
  const head = ['', 'p50, ms', 'p99, ms', 'lowest to highest', 'calls to the first, %', 'p99 x round-robin'];
  const rows = results.flatMap((result) =>
    result.series.map(({ selection, rounds }) => {
      const { median, min, max } = spread(rounds.map(({ p99 }) => p99));
      return [
        `${result.case.title}: ${selection}`,
        threeDigits(spread(rounds.map(({ p50 }) => p50)).median),
        threeDigits(median),
        `${threeDigits(min)} to ${threeDigits(max)}`,
        threeDigits(100 * spread(rounds.map(({ toFirst }) => toFirst)).median),
        threeDigits(ratio(result, selection)),
      ];
    }),
  );
  return table(head, rows, markdown);
}

/** What the machine made of the plan. */
export function reality(results: readonly Measured[], markdown: boolean): string {
  const head = ['', 'real load, %', 'the first takes, ms', 'the others, ms', 'sent late by (p99), ms'];
  const rows = results.map(({ case: { title }, realLoad, took, late }) => {
    const [first = Number.NaN, ...others] = took;
    const other = others.reduce((sum, ms) => sum + ms, 0) / others.length;
    return [title, ...[100 * realLoad, first, other, late].map(threeDigits)];
  });
  return table(head, rows, markdown);
}

export function verdict(results: readonly Measured[], markdown: boolean): string {
  const result = results.find((one) => one.case.name === target.name);
  const reached = result === undefined ? Number.NaN : ratio(result, 'least-queue');
  const met = verdictOf(reached, reached <= target.ratio);
  return table(['target', 'ratio', ''], [[target.text, threeDigits(reached), met]], markdown);
}

/** Of p99 to round robin's in the same round; the median. */
function ratio({ series }: Measured, selection: string): number {
  const p99s = (name: string): number[] =>
    series.find((one) => one.selection === name)?.rounds.map(({ p99 }) => p99) ?? [];
  return medianRatio(p99s(selection), p99s('round-robin'));
}
