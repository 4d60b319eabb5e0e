/**
 * A lock between processes: one file that names its holder. It is made whole in one step (a hard link), so it
 * never exists without its holder's pid, and a holder that died without letting go is found by that pid.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 100;
const SAY_SO_AFTER_MS = 5_000;

/** Runs `work` while no other process does so under the same `path`. */
export async function withLock(path, work) {
  await take(path);
  const release = () => rmSync(path, { force: true });
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

async function take(path) {
  const mine = `${path}-${process.pid}`;
  writeFileSync(mine, `${process.pid}`);
  try {
    for (let waited = 0; !tryLink(mine, path); waited += POLL_MS) {
      const holder = holderOf(path);
      if (holder !== undefined && !isAlive(holder)) {
        breakStale(path, holder);
        continue;
      }
      if (waited === SAY_SO_AFTER_MS) {
        console.error(`setup: waiting for process ${holder}; if that is no setup, remove ${path}`);
      }
      await sleep(POLL_MS);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

function tryLink(mine, path) {
  try {
    linkSync(mine, path);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** The pid in the lock file; undefined when the lock was let go meanwhile. */
function holderOf(path) {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/**
 * Moves a dead holder's lock away. Somebody quicker may have done so and hold a new lock by now, which is
 * then the one that was moved: it is put back.
 */
function breakStale(path, deadHolder) {
  const aside = `${path}-stale-${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (error.code === 'ENOENT') return;
    throw error;
  }
  if (holderOf(aside) !== deadHolder) tryLink(aside, path);
  rmSync(aside, { force: true });
}
