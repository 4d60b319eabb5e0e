/** What must hold of the calls, the requests and the windows of a storm. */

import { type Calls, type Kind, SHOCKED } from './calls.js';
import { type Checks, demand } from './checks.js';
import type { Disturbances } from './disturbances.js';
import type { Failure, Report } from './http.js';
import { Notes, type Verdict } from './notes.js';

/** Of idempotent calls. */
const LEAST_ANSWERED = 0.9999;

/** What may become of the others. */
const ALLOWED: readonly (readonly [Kind, ...outcomes: string[]])[] = [
  ['once', 'answered', 'ERR_REPLICA_DIED', SHOCKED],
  ['hanging', 'ERR_TIMEOUT', 'ERR_REPLICA_DIED', SHOCKED],
  ['aborted', 'answered', 'AbortError', 'ERR_REPLICA_DIED', SHOCKED],
];

/** Failures that a failed check names. */
const NAMED = 5;

export async function checkCalls(
  checks: Checks,
  calls: Calls,
  { kills }: Disturbances,
  notes: string,
): Promise<void> {
  await checks.run('every call settled once, with its own reply', () => {
    const { begun, settled, mixedUp } = calls;
    demand(begun > 0 && settled === begun, `${settled} of ${begun} settled`);
    demand(mixedUp === 0, `${mixedUp} got the reply of another`);
    return `${settled} of ${begun}`;
  });
  await checks.run('every call settled within its timeout and 50 ms', () => {
    const { missed, controlled, latest, latestTimer } = calls.deadlines;
    const timed = calls.count('hanging', 'ERR_TIMEOUT');
    const figures = `${timed} timed out, the latest ${latest.toFixed(0)} ms after its time; ${controlled} after 50 ms, when plain timers of this process were late as well, by up to ${latestTimer.toFixed(0)} ms`;
    demand(missed === 0, `${missed} did not; ${figures}`);
    demand(timed > 0, 'none timed out');
    return figures;
  });
  await checks.run('idempotent calls were answered, 99.99 % of them at least', () => {
    const all = calls.count('idempotent') - calls.count('idempotent', SHOCKED);
    const answered = calls.count('idempotent', 'answered');
    const figures = `${answered} of ${all}${others(calls.outcomes.idempotent)}`;
    demand(answered >= all * LEAST_ANSWERED, figures);
    return figures;
  });
  await checks.run('other calls failed only by a kill, their time limit or their caller', () => {
    const figures: string[] = [];
    for (const [kind, ...outcomes] of ALLOWED) {
      const all = calls.count(kind);
      const text = `${all} ${kind}${others(calls.outcomes[kind])}`;
      demand(calls.count(kind, ...outcomes) === all, text);
      figures.push(text);
    }
    const unharmed = [...calls.diedWith].filter((pid) => !kills.has(pid));
    demand(unharmed.length === 0, `died without being killed: ${unharmed.join(', ')}`);
    return figures.join('; ');
  });
  await checks.run('no call ran twice that may run once only', () => {
    const { runs } = new Notes(notes);
    const twice = [...runs].filter(([, count]) => count > 1).map(([id]) => id);
    demand(runs.size > 0, 'none ran');
    demand(
      twice.length === 0,
      `ran more than once: ${twice.slice(0, NAMED).join(', ')}, ${twice.length} in all`,
    );
    return `${runs.size} ran`;
  });
  await checks.run('no call ran in a window', () => {
    demand(calls.inWindow === 0, `${calls.inWindow} did`);
    return '0';
  });
}

export async function checkRequests(
  checks: Checks,
  report: Report,
  { kills }: Disturbances,
  notes: string,
): Promise<void> {
  const { answered, failed, failures, inWindow } = report;
  await checks.run('HTTP requests failed only with the replica that was killed', () => {
    const read = new Notes(notes);
    const verdicts: Record<Verdict, Failure[]> = { killed: [], unclaimed: [], idle: [], lost: [] };
    for (const failure of failures) verdicts[read.judge(failure, kills)].push(failure);
    const { killed, unclaimed, idle, lost } = verdicts;
    const figures = `${answered} answered; excused: ${killed.length} whose replica was killed, ${unclaimed.length} that it had just accepted, ${idle.length} sent on a connection that had been idle`;
    demand(answered > 0, 'none was answered');
    const named = lost.slice(0, NAMED).map((failure) => JSON.stringify(failure));
    demand(lost.length === 0, `${lost.length} lost: ${named.join(' ')}; ${figures}`);
    demand(failed === failures.length, `${failed - failures.length} more failures than could be judged`);
    demand(unclaimed.length <= kills.size, `more than one a kill had just been accepted: ${figures}`);
    return figures;
  });
  await checks.run('no HTTP request ran in a window', () => {
    demand(inWindow === 0, `${inWindow} did`);
    return '0';
  });
}

export async function checkDisturbances(checks: Checks, disturbances: Disturbances): Promise<void> {
  await checks.run(
    'replicas ended by a kill or in order; windows, refreshes, resizes and reloads as they must',
    () => {
      const { faults, windows, refreshes, resizes, reloads, failedStarts, longestWindow, kills, spared } =
        disturbances;
      const { signals, shocks, deploys } = disturbances;
      const figures = `${kills.size} kills (${spared} left out for the last in rotation), ${windows} windows (the longest ${longestWindow.toFixed(0)} ms), ${refreshes} refreshes, ${resizes} resizes, ${reloads} reloads; a kill or a deploy ended ${failedStarts} of the last two; ${signals} signals, ${shocks.length} shocks, ${deploys} deploys`;
      demand(
        faults.length === 0,
        `${faults.slice(0, NAMED).join('; ')}; ${faults.length} in all; ${figures}`,
      );
      demand(kills.size > 0, 'nobody was killed');
      return figures;
    },
  );
}

/** What else than answers there was. */
function others(outcomes: ReadonlyMap<string, number>): string {
  const texts = [...outcomes]
    .filter(([outcome]) => outcome !== 'answered')
    .map(([outcome, count]) => `${count} ${outcome}`);
  return texts.length === 0 ? '' : ` (${texts.join(', ')})`;
}
