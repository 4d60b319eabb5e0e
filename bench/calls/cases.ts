/** What is measured, and what is to be reached. */

import type { Sample } from './messages.js';

/** What a case is about: calls a second, or something of which less is better. */
export type Figure = 'rate' | 'cpu' | 'delay' | 'first';

export interface Case {
  readonly name: string;
  readonly sample: Sample;
  readonly inFlight: number;
  readonly figure: Figure;
  /** Who takes part, by name. */
  readonly among: readonly string[];
}

/** Names under which something stands beside the contenders. */
export const FLAT_OUT = 'two cores flat out';
export const FLOOR = 'epoll and eventfd, in C';

export const ADVANCED = 'ballermann (advanced)';
export const BARE_ADVANCED = 'bare send (advanced)';

/** Workers of the contenders that have many; how many calls a fresh process begins with. */
export const MANY = 64;
export const FIRST_CALLS = 5000;

export const BALLERMANN_MANY = `ballermann (${MANY} replicas)`;
export const BARE_MANY = `bare send (${MANY} forks)`;

export const SMALL = 'echo, small object';
export const LARGE = 'echo, 64 KiB';
export const BUFFER = 'echo, 1 MiB buffer';
export const CPU = '100 µs CPU task';
export const FLOOD = 'timer in the calling process, small objects';
export const FRESH = `first ${FIRST_CALLS.toLocaleString('en-US')} serial calls of a fresh process`;
export const MANY_REPLICAS = `primary's CPU with ${MANY} replicas`;

const OTHERS = ['poolifier', 'workerpool', 'jest-worker', 'tinypool', 'piscina (threads)'];
const ALL = ['ballermann', 'bare send', ...OTHERS];
const WITH_ADVANCED = ['ballermann', ADVANCED, 'bare send', BARE_ADVANCED, ...OTHERS];
/** Those that send a buffer as one. The others send its bytes as text, or as an object of numbers. */
const WITH_BUFFERS = [ADVANCED, BARE_ADVANCED, 'jest-worker', 'piscina (threads)'];

export const small: Sample = { sort: 'text', length: 12 };

const rate = (name: string, sample: Sample, inFlight: readonly number[], among: readonly string[]): Case[] =>
  inFlight.map((count) => ({ name, sample, inFlight: count, figure: 'rate', among }));

/** Measured in processes that stay. */
export const cases: readonly Case[] = [
  ...rate(SMALL, small, [1, 64, 1024], WITH_ADVANCED),
  ...rate('echo, 1 KiB', { sort: 'text', length: 1024 - 22 }, [1, 64, 1024], ALL),
  ...rate(LARGE, { sort: 'text', length: 65_536 - 22 }, [1, 32, 1024], WITH_ADVANCED),
  ...rate(BUFFER, { sort: 'buffer', length: 1 << 20 }, [1, 8], WITH_BUFFERS),
  ...rate(CPU, { sort: 'cpu' }, [64], [...ALL, 'ballermann (least-queue)']),
  { name: FLOOD, sample: small, inFlight: 1024, figure: 'delay', among: ALL },
];

/** Measured in processes that start for each round. */
export const freshCase: Case = {
  name: FRESH,
  sample: small,
  inFlight: 1,
  figure: 'first',
  among: ['ballermann', 'bare send'],
};

/** Measured with many workers, when all others have ended. */
export const manyCase: Case = {
  name: MANY_REPLICAS,
  sample: small,
  inFlight: 256,
  figure: 'cpu',
  among: [BALLERMANN_MANY, BARE_MANY],
};

export interface Target {
  readonly name: string;
  readonly inFlight: number;
  /** Whose figure; `ballermann` where it is not said. */
  readonly ours?: string;
  readonly peer: string;
  /** Of calls a second, at least. */
  readonly atLeast?: number;
  /** Of a call's time, or of another figure of which less is better, at most. */
  readonly atMost?: number;
  readonly text: string;
}

export const targets: readonly Target[] = [
  {
    name: SMALL,
    inFlight: 1,
    peer: 'bare send',
    atMost: 0.55,
    text: "small, 1 in flight: a round trip of at most 0.55 x bare send's",
  },
  {
    name: SMALL,
    inFlight: 64,
    peer: 'bare send',
    atLeast: 3.5,
    text: 'small, 64 in flight: at least 3.5 x bare send',
  },
  {
    name: SMALL,
    inFlight: 64,
    peer: 'poolifier',
    atLeast: 7,
    text: 'small, 64 in flight: at least 7 x poolifier',
  },
  {
    name: SMALL,
    inFlight: 1024,
    peer: 'bare send',
    atLeast: 5.5,
    text: 'small, 1,024 in flight: at least 5.5 x bare send',
  },
  ...[1, 32].flatMap((inFlight) => [
    {
      name: LARGE,
      inFlight,
      peer: 'bare send',
      atLeast: 6,
      text: `64 KiB, ${inFlight} in flight: at least 6 x bare send`,
    },
    {
      name: LARGE,
      inFlight,
      peer: 'jest-worker',
      atLeast: 3,
      text: `64 KiB, ${inFlight} in flight: at least 3 x jest-worker`,
    },
    {
      name: LARGE,
      inFlight,
      peer: 'piscina (threads)',
      atLeast: 0.7,
      text: `64 KiB, ${inFlight} in flight: at least 0.7 x piscina`,
    },
  ]),
  {
    name: SMALL,
    inFlight: 64,
    ours: ADVANCED,
    peer: 'bare send',
    atLeast: 1.4,
    text: "'advanced', small, 64 in flight: at least 1.4 x bare send",
  },
  {
    name: CPU,
    inFlight: 64,
    peer: FLAT_OUT,
    atLeast: 0.95,
    text: '100 µs tasks, 64 in flight: at least 0.95 of two cores flat out',
  },
  {
    name: FRESH,
    inFlight: 1,
    peer: 'bare send',
    atMost: 1,
    text: `first ${FIRST_CALLS.toLocaleString('en-US')} serial calls: at most bare send's time`,
  },
];
