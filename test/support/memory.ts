/** How much memory this process has, for tests of what stays. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of JavaScript's heap that this process cannot give back, and those of buffers besides. */
export function memory(): { heap: number; all: number } {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return { heap: heapUsed, all: heapUsed + external };
}
