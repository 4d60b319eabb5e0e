/** One clock for all processes of the demo: the system's monotonic one. */

/** ms */
export function now() {
  return Number(process.hrtime.bigint()) / 1e6;
}
