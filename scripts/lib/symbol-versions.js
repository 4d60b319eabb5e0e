/** What a binary asks of the C and C++ libraries, and whether every system that Node runs on has it. */
import { spawnSync } from 'node:child_process';

/** What Node's own binaries for Linux ask for: nothing newer may be asked for by the addon. */
export const LIMITS = { GLIBC: '2.28', GLIBCXX: '3.4.21', CXXABI: '1.3.11', GCC: '4.3.0' };

/** @returns what the file asks for that is newer than `LIMITS`, or that they do not name: `pthread_create GLIBC_2.34`. */
export function tooNew(file, objdump) {
  const { status, stdout, stderr, error } = spawnSync(objdump, ['-T', file], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${objdump} -T ${file}: ${error?.message ?? stderr}`);
  const asked = askedFor(stdout);
  if (asked.length === 0) throw new Error(`${objdump} -T ${file} lists no symbol of any library`);
  return asked.filter(isTooNew).map(({ symbol, library, version }) => `${symbol} ${library}_${version}`);
}

/** @param table as `objdump -T` prints it: `… *UND* … (GLIBC_2.34) pthread_create`. */
export function askedFor(table) {
  const lines = table.matchAll(/\*UND\*.*\s\(?([A-Z]+)_([0-9.]+|[A-Za-z_]+)\)?\s+(\S+)$/gm);
  return [...lines].map(([, library, version, symbol]) => ({ symbol, library, version }));
}

export function isTooNew({ library, version }) {
  return !Object.hasOwn(LIMITS, library) || compare(version, LIMITS[library]) > 0;
}

/** By number, part by part. What is no number (GLIBC_PRIVATE) is newer than any. */
function compare(one, other) {
  const [a, b] = [one, other].map((version) => version.split('.').map(Number));
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (Number.isNaN(difference)) return 1;
    if (difference !== 0) return difference;
  }
  return 0;
}
