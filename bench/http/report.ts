/** The tables of a run, and which targets are met. */

import { medianRatio, spread, threeDigits, verdictOf } from '../figures.js';
import { table } from '../tables.js';
import { type Case, type Contender, type Target, targets } from './cases.js';

export interface Round {
  readonly perSecond: number;
  /** ms. */
  readonly p99: number;
  /** Connections that each replica has had. */
  readonly counts: readonly number[];
}

export interface Series {
  readonly name: Contender;
  readonly rounds: readonly Round[];
}

export interface Measured {
  readonly case: Case;
  readonly series: readonly Series[];
}

const figures: Readonly<Record<Target['figure'], (round: Round) => number>> = {
  perSecond: ({ perSecond }) => perSecond,
  p99: ({ p99 }) => p99,
  /** From the fewest to the most connections of a replica, in % of the most. */
  spread: ({ counts }) => 100 * (1 - Math.min(...counts) / Math.max(...counts)),
};

export function report({ case: { name, replicas, keepAlive }, series }: Measured, markdown: boolean): string {
  const head = [
    `${name}, ${replicas} replicas`,
    'requests/s',
    'lowest to highest',
    'x SCHED_RR',
    'x SCHED_NONE',
    'p99, ms',
  ];
  if (!keepAlive) head.push('spread, %');
  const rows = series.map((one) => {
    const { median, min, max } = spread(one.rounds.map(figures.perSecond));
    const row = [
      one.name,
      threeDigits(median),
      `${threeDigits(min)} to ${threeDigits(max)}`,
      threeDigits(ratio(one, series, 'SCHED_RR', 'perSecond')),
      threeDigits(ratio(one, series, 'SCHED_NONE', 'perSecond')),
      threeDigits(spread(one.rounds.map(figures.p99)).median),
    ];
    if (!keepAlive) row.push(threeDigits(spread(one.rounds.map(figures.spread)).median));
    return row;
  });
  return table(head, rows, markdown);
}

export function verdicts(results: readonly Measured[], markdown: boolean): string {
  const rows = targets.map((target) => {
    const reached = figureOf(target, results);
    const { atLeast = 0, atMost = Number.POSITIVE_INFINITY } = target;
    const isMet = reached >= atLeast && reached <= atMost;
    return [target.text, threeDigits(reached), verdictOf(reached, isMet)];
  });
  return table(['target', 'reached', ''], rows, markdown);
}

function figureOf({ case: name, figure, peer }: Target, results: readonly Measured[]): number {
  const result = results.find((one) => one.case.name === name);
  const ours = result?.series.find((one) => one.name === 'ballermann');
  if (result === undefined || ours === undefined) return Number.NaN;
  if (peer !== undefined) return ratio(ours, result.series, peer, figure);
  return spread(ours.rounds.map(figures[figure])).median;
}

/** To a peer in the same round; the median. */
function ratio(one: Series, all: readonly Series[], peer: Contender, figure: Target['figure']): number {
  const of = figures[figure];
  const other = all.find(({ name }) => name === peer);
  return medianRatio(one.rounds.map(of), other?.rounds.map(of));
}
