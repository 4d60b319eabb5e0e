/** The diagnostic report that a hung replica is asked for before it is killed. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReplicaProcess } from '../replicas/replica-process.js';

/** What the addon of a replica listens for (native/hang_report.hpp). */
const SIGNAL = 'SIGURG';

/** How long a report may take. A process that is stopped, or stuck in native code, makes none. */
const TIME = 2000; // ms
const POLL = 20; // ms

/** Where a replica that is about to be forked is to write its report: a name that no other has. */
export function reportPath(folder: string | undefined, slot: number): string | undefined {
  return folder && join(folder, `hung.${Date.now()}.${process.pid}.${slot}.json`);
}

/** Resolves with the report's path, or with undefined where the replica does not make one in time. */
export async function takeReport(replica: ReplicaProcess, path: string): Promise<string | undefined> {
  replica.signal(SIGNAL);
  const end = performance.now() + TIME;
  while (!existsSync(path)) {
    if (replica.state === 'dead' || performance.now() > end) return undefined;
    await sleep(POLL);
  }
  return path;
}
