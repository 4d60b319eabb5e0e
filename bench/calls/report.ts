/** The tables of a run, and which targets are met. */

import { medianRatio, spread, threeDigits, verdictOf } from '../figures.js';
import { table } from '../tables.js';
import { BARE_MANY, type Case, type Figure, FLAT_OUT, FLOOR, type Target, targets } from './cases.js';
import type { Parts } from './parts.js';

/** The figure of each round. */
export interface Series {
  readonly name: string;
  readonly rounds: readonly number[];
}

export interface Measured {
  readonly case: Case;
  readonly series: readonly Series[];
}

/** How a figure is called in a table's head. */
const HEADS = {
  rate: 'calls/s',
  cpu: 'µs of CPU a call',
  delay: 'late at p99, ms',
  first: 'µs a call',
} as const satisfies Record<Figure, string>;

export function report({ case: { name, inFlight, figure }, series }: Measured, markdown: boolean): string {
  const peers = ['poolifier', 'bare send', BARE_MANY, FLAT_OUT].filter((peer) =>
    series.some((one) => one.name === peer),
  );
  const showsTime = figure === 'rate' && inFlight === 1;
  const head = [`${name}, ${inFlight.toLocaleString('en-US')} in flight`, HEADS[figure], 'lowest to highest'];
  if (showsTime) head.push('round trip, µs');
  const rows = series.map((one) => {
    const { median, min, max } = spread(one.rounds);
    const row = [one.name, threeDigits(median), `${threeDigits(min)} to ${threeDigits(max)}`];
    if (showsTime) row.push(threeDigits(1e6 / median));
    return [...row, ...peers.map((peer) => threeDigits(ratio(one, series, peer)))];
  });
  return table([...head, ...peers.map((peer) => `x ${peer}`)], rows, markdown);
}

/** Of one call at a time: the system's floor, what each part takes by itself, and the rest. */
export function partsOf({ series }: Measured, parts: Parts, markdown: boolean): string {
  const trip = (name: string): number =>
    1e6 / spread(series.find((one) => one.name === name)?.rounds ?? []).median;
  const whole = trip('ballermann');
  const floor = trip(FLOOR);
  const { encode, write, read, decode, observe } = parts;
  const rest = whole - floor - encode - write - read - decode - observe;
  const rows = [
    ['two bells and two wake-ups, by the C program', floor],
    ['encode the message and the reply', encode],
    ['write both to shared memory', write],
    ['read both from it', read],
    ['decode both', decode],
    ['measure the latency, and ask whether somebody traces', observe],
    ['the rest: event loops, promises, what is cold', rest],
    ['a round trip', whole],
  ] as const;
  const cells = rows.map(([part, us]) => [part, us < 0 ? `-${threeDigits(-us)}` : threeDigits(us)]);
  return table(['parts of a round trip, small object', 'µs'], cells, markdown);
}

export function verdicts(results: readonly Measured[], markdown: boolean): string {
  const rows = targets.map((target) => {
    const reached = reachedOf(target, results);
    const { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = target;
    return [target.text, threeDigits(reached), verdictOf(reached, reached >= atLeast && reached <= atMost)];
  });
  return table(['target', 'ratio', ''], rows, markdown);
}

/** @returns the ratio that the target is about; NaN where it was not measured. */
function reachedOf(
  { name, inFlight, ours = 'ballermann', peer, atMost }: Target,
  results: readonly Measured[],
): number {
  const result = results.find((one) => one.case.name === name && one.case.inFlight === inFlight);
  const own = result?.series.find((one) => one.name === ours);
  if (own === undefined || result === undefined) return Number.NaN;
  const reached = ratio(own, result.series, peer);
  return atMost !== undefined && result.case.figure === 'rate' ? 1 / reached : reached; // of the time, then
}

/** To a peer in the same round; the median. */
function ratio(one: Series, all: readonly Series[], peer: string): number {
  return medianRatio(one.rounds, all.find(({ name }) => name === peer)?.rounds);
}
