/** What a round trip between two processes costs at least: floor.c, compiled where there is a C compiler. */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../../../bench/calls/floor.c', import.meta.url));
const program = fileURLToPath(new URL('./floor', import.meta.url));

/** @returns whether it can be measured; not on other systems than Linux, and not without a compiler. */
export function compileFloor(): boolean {
  if (process.platform !== 'linux') return false;
  return spawnSync('cc', ['-O2', source, '-o', program], { stdio: 'ignore' }).status === 0;
}

/** @returns round trips a second. @throws Error where the program fails. */
export function measureFloor(roundTrips: number): number {
  const { status, error, stdout } = spawnSync(program, [`${roundTrips}`], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  const us = Number(stdout);
  if (status !== 0 || !(us > 0)) throw new Error(`floor: ${error?.message ?? `exit code ${status}`}`);
  return 1e6 / us;
}
