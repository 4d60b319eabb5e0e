/** How much memory a process has, as the kernel says. The process itself need not do anything for that: it may be hung. */

import { readFileSync } from 'node:fs';

/** Bytes. Undefined where there is no /proc, or it does not say. */
export function residentMemory(pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const kib = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined; // it has ended, or the permission model or a container hides it
  }
}
