/**
 * Knows which processes belong to a run, and ends them. A run's first process is started with `detached`, so it
 * leads a session whose id is its pid, and with a mark in its environment. What it starts inherits both: one
 * that leaves the session still has the mark, one that gets another environment is still in the session.
 * Only Linux lists them: elsewhere a run looks empty, and only the leader's process group is ended.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;

/** The variable that marks a run's processes; its value has to be one that no other run has. */
export const MARK = 'BALLERMANN_TEST_RUN';

/** The living processes of a run, as { pid, command }. What has ended but was not reaped is not among them. */
export function members({ session, mark }) {
  if (process.platform !== 'linux') return [];
  const found = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // The name in parentheses may hold anything; after it come: state, parent, group, session.
      const [state, , , sid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z' || state === 'X') continue;
      if (Number(sid) !== session && !isMarked(name, mark)) continue;
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      found.push({ pid: Number(name), command: command || stat.slice(0, stat.lastIndexOf(')') + 1) });
    } catch (error) {
      // It ended between two reads.
      if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error;
    }
  }
  return found;
}

function isMarked(pid, mark) {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`${MARK}=${mark}`);
  } catch (error) {
    // Another user's process, or a kernel's.
    if (error.code === 'EACCES' || error.code === 'EPERM') return false;
    throw error;
  }
}

/** The run's processes that are left when they have had `graceMs` to end; none as soon as there are none. */
export async function leftovers(run, graceMs) {
  const deadline = performance.now() + graceMs;
  for (;;) {
    const left = members(run);
    if (left.length === 0 || performance.now() >= deadline) return left;
    await sleep(POLL_MS);
  }
}

/** Ends every process of the run, those started meanwhile included. Safe in an exit handler. */
export function killRun(run) {
  if (process.platform !== 'linux') return kill(-run.session);
  // One that is being killed may still be listed, so a bound and not only emptiness ends this.
  for (let round = 0; round < 100; round++) {
    const left = members(run);
    if (left.length === 0) return;
    for (const { pid } of left) kill(pid);
  }
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
