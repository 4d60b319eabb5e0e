/** Times one subject with benchmark.js, and fails where what was timed gave wrong answers. */

import Benchmark from 'benchmark';
import type { Subject } from './subject.js';

export interface Effort {
  /** Seconds that one sample lasts at least. */
  readonly minTime: number;
  readonly minSamples: number;
}

/** What benchmark.js makes its loop of: `this` is the benchmark. The loop is compiled anew for each sample. */
const LOOP = {
  setup: 'var timed = this.timed, task = timed.task, sum = 0;',
  fn: 'sum = (sum + task()) | 0;',
  teardown: 'timed.done(this.count, sum);',
};

/** Loops grow until they last `minTime`; the next time they begin where they ended. */
const counts = new Map<string, number>();

/** @returns ns per call, the median of the samples. @throws Error when an answer was wrong. */
export function time({ name, task, callsPerTask = 1, expected }: Subject, effort: Effort): number {
  const wrong: string[] = [];
  const timed = {
    task,
    done(count: number, sum: number): void {
      const right = expected.next(count);
      if (sum !== right) wrong.push(`${count} calls add up to ${sum}, not ${right}`);
    },
  };
  const benchmark = new Benchmark(name, { ...LOOP, ...effort, maxTime: 0, initCount: counts.get(name) ?? 1 });
  Object.assign(benchmark, { timed });
  benchmark.run({ async: false });
  if (benchmark.error !== undefined) throw new Error(`${name}: cannot be timed`, { cause: benchmark.error });
  if (wrong.length > 0) throw new Error(`${name}: ${wrong.join('; ')}`);
  counts.set(name, benchmark.count);
  return (median(benchmark.stats.sample as number[]) * 1e9) / callsPerTask;
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}
