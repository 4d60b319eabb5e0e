/** The tables of a run, and which targets are met. */

import { medianRatio, spread, threeDigits, verdictOf } from '../figures.js';
import { table } from '../tables.js';
import { type Case, FLAT_OUT, targets } from './cases.js';

/** Replies a second in each round. */
export interface Series {
  readonly name: string;
  readonly rounds: readonly number[];
}

export interface Measured {
  readonly case: Case;
  readonly series: readonly Series[];
}

export function report({ case: { name, inFlight }, series }: Measured, markdown: boolean): string {
  const isCpu = series.some((one) => one.name === FLAT_OUT);
  const peers = ['poolifier', 'bare send', ...(isCpu ? [FLAT_OUT] : [])];
  const head = [`${name}, ${inFlight.toLocaleString('en-US')} in flight`, 'calls/s', 'lowest to highest'];
  if (inFlight === 1) head.push('round trip, µs');
  const rows = series.map((one) => {
    const { median, min, max } = spread(one.rounds);
    const row = [one.name, threeDigits(median), `${threeDigits(min)} to ${threeDigits(max)}`];
    if (inFlight === 1) row.push(threeDigits(1e6 / median));
    return [...row, ...peers.map((peer) => threeDigits(ratio(one, series, peer)))];
  });
  return table([...head, ...peers.map((peer) => `x ${peer}`)], rows, markdown);
}

export function verdicts(results: readonly Measured[], markdown: boolean): string {
  const rows = targets.map((target) => {
    const result = results.find(
      (one) => one.case.name === target.name && one.case.inFlight === target.inFlight,
    );
    const ours = result?.series.find(({ name }) => name === 'ballermann');
    const reached =
      ours === undefined || result === undefined ? Number.NaN : ratio(ours, result.series, target.peer);
    const shown = target.ratio < 1 && target.inFlight === 1 ? 1 / reached : reached;
    return [target.text, threeDigits(shown), verdictOf(reached, reached >= target.ratio)];
  });
  return table(['target', 'ratio', ''], rows, markdown);
}

/** To a peer in the same round; the median. */
function ratio(one: Series, all: readonly Series[], peer: string): number {
  return medianRatio(one.rounds, all.find(({ name }) => name === peer)?.rounds);
}
