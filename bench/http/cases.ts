/** What is measured, and what is to be reached. */

export const contenders = ['ballermann', 'SCHED_RR', 'SCHED_NONE'] as const;
export type Contender = (typeof contenders)[number];

export interface Case {
  readonly name: string;
  readonly replicas: number;
  readonly clients: number;
  /** Whether a client keeps its connection. */
  readonly keepAlive: boolean;
  /** Whether one replica stands still for 500 ms out of every second. */
  readonly blocks: boolean;
  /** Requests a second, however long answers take; undefined: each client asks again when it has its answer. */
  readonly rate?: number;
}

const plain = { replicas: 2, clients: 64, keepAlive: false, blocks: false };

export const PER_REQUEST = 'a connection a request';
export const KEEP_ALIVE = 'keep-alive';
export const BLOCKED = 'one of 4 blocked, flat out';
export const BLOCKED_AT_RATE = 'one of 4 blocked, 80 requests/s';

export const cases: readonly Case[] = [
  { ...plain, name: PER_REQUEST },
  { ...plain, name: KEEP_ALIVE, keepAlive: true },
  { ...plain, name: BLOCKED, replicas: 4, blocks: true },
  { ...plain, name: BLOCKED_AT_RATE, replicas: 4, blocks: true, rate: 80 },
];

export interface Target {
  readonly text: string;
  readonly case: string;
  readonly figure: 'perSecond' | 'p99' | 'spread';
  /** Undefined: the figure itself. */
  readonly peer?: Contender;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export const targets: readonly Target[] = [
  {
    text: `${PER_REQUEST}: at least 1.9 x SCHED_RR`,
    case: PER_REQUEST,
    figure: 'perSecond',
    peer: 'SCHED_RR',
    atLeast: 1.9,
  },
  {
    text: `${PER_REQUEST}: at least 0.95 x SCHED_NONE`,
    case: PER_REQUEST,
    figure: 'perSecond',
    peer: 'SCHED_NONE',
    atLeast: 0.95,
  },
  {
    text: `${PER_REQUEST}: connections of both replicas within 2 %`,
    case: PER_REQUEST,
    figure: 'spread',
    atMost: 2,
  },
  {
    text: `${KEEP_ALIVE}: at least 0.98 x SCHED_RR`,
    case: KEEP_ALIVE,
    figure: 'perSecond',
    peer: 'SCHED_RR',
    atLeast: 0.98,
  },
  {
    text: `${BLOCKED}: a p99 of at most 0.25 x SCHED_RR's`,
    case: BLOCKED,
    figure: 'p99',
    peer: 'SCHED_RR',
    atMost: 0.25,
  },
  {
    text: `${BLOCKED_AT_RATE}: the same`,
    case: BLOCKED_AT_RATE,
    figure: 'p99',
    peer: 'SCHED_RR',
    atMost: 0.25,
  },
];
