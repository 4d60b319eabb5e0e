/** What is measured, and what is to be reached. */

export interface Case {
  readonly name: string;
  /** Characters of an echo's text; undefined: the CPU task. */
  readonly content: number | undefined;
  readonly inFlight: number;
}

/** The name under which two processes without messages stand beside the contenders. */
export const FLAT_OUT = 'two cores flat out';

const IN_FLIGHT = [1, 64, 1024];

export const SMALL = 'echo, small object';
export const CPU = '100 µs CPU task';

export const cases: readonly Case[] = [
  ...IN_FLIGHT.map((inFlight) => ({ name: SMALL, content: 12, inFlight })),
  ...IN_FLIGHT.map((inFlight) => ({ name: 'echo, 1 KiB', content: 1024 - 22, inFlight })),
  ...IN_FLIGHT.map((inFlight) => ({ name: 'echo, 64 KiB', content: 65_536 - 22, inFlight })),
  { name: CPU, content: undefined, inFlight: 64 },
];

export interface Target {
  readonly name: string;
  readonly inFlight: number;
  readonly peer: string;
  /** At least this ratio of calls a second to the peer's. */
  readonly ratio: number;
  readonly text: string;
}

export const targets: readonly Target[] = [
  {
    name: SMALL,
    inFlight: 64,
    peer: 'poolifier',
    ratio: 4,
    text: '64 in flight: at least 4 x poolifier',
  },
  {
    name: SMALL,
    inFlight: 64,
    peer: 'bare send',
    ratio: 2,
    text: '64 in flight: at least 2 x bare send',
  },
  {
    name: SMALL,
    inFlight: 1024,
    peer: 'bare send',
    ratio: 3.5,
    text: '1,024 in flight: at least 3.5 x bare send',
  },
  {
    name: SMALL,
    inFlight: 1,
    peer: 'bare send',
    ratio: 1 / 1.1,
    text: "1 in flight: a round trip of at most 1.1 x bare send's",
  },
  {
    name: CPU,
    inFlight: 64,
    peer: FLAT_OUT,
    ratio: 0.95,
    text: '100 µs tasks: at least 0.95 of two cores flat out',
  },
];
