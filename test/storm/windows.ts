/** The windows of a run in which nothing may run: from the begin of their function to its end. */

/** ms of the monotonic clock, the same in all processes. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** [begin, end]; the end is Infinity while the window lasts. */
export type Span = [begin: number, end: number];

/** Whether something that ran from `begun` to `ended` ran in one of the windows, which are in order. */
export function overlaps(windows: readonly Span[], begun: number, ended: number): boolean {
  for (let index = windows.length - 1; index >= 0; index--) {
    const [begin, end] = windows[index] as Span;
    if (end < begun) return false;
    if (begin < ended) return true;
  }
  return false;
}
