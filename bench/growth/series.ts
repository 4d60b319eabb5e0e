/** What grows, and what a point of it is measured with. */

export interface Setup {
  readonly replicas: number;
  readonly pools: number;
  readonly inFlight: number;
  /** Characters of the text that is echoed. */
  readonly length: number;
}

export type Growing = 'replicas' | 'pools' | 'in-flight' | 'message-size';

export interface Series {
  readonly growing: Growing;
  /** Of the x axis. */
  readonly title: string;
  readonly xs: readonly number[];
  setup(x: number): Setup;
}

const usual: Setup = { replicas: 2, pools: 1, inFlight: 256, length: 10 };

const upTo64 = [1, 2, 4, 8, 16, 32, 64];

export const allSeries: readonly Series[] = [
  { growing: 'replicas', title: 'replicas', xs: upTo64, setup: (replicas) => ({ ...usual, replicas }) },
  { growing: 'pools', title: 'pools, used in turn', xs: upTo64, setup: (pools) => ({ ...usual, pools }) },
  {
    growing: 'in-flight',
    title: 'calls in flight',
    xs: [1, 4, 16, 64, 256, 1024, 4096, 16_384, 100_000],
    setup: (inFlight) => ({ ...usual, inFlight }),
  },
  {
    growing: 'message-size',
    title: 'size of a message (8 in flight)',
    xs: [10, 100, 1024, 10_240, 102_400, 1_048_576, 8_388_608],
    // 8 MiB in flight 8 times stays below what may wait for one replica
    setup: (length) => ({ ...usual, inFlight: 8, length }),
  },
];

/** One point of one run. */
export interface Point {
  readonly perSecond: number;
  /** µs of the primary's CPU time a call. */
  readonly cpu: number;
  /** ms from supervise() until all replicas are ready. */
  readonly startMs: number;
  /** Bytes: the primary's highest during the load. */
  readonly primaryRss: number;
  /** Bytes: a replica's at the end of the load, the mean of all. */
  readonly replicaRss: number;
}
