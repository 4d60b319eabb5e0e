/**
 * Counted use of a pool: the caller is counted in its process's slot before it looks at the paused flag, so a
 * window that has seen all counts at zero has nothing of that kind running, in any process or thread.
 */

import { withDeadline } from '../aborts.js';
import { BallermannError } from '../errors.js';
import type { Rotation } from './rotation.js';
import type { Segment } from './segment.js';

export interface CountedPool {
  readonly name: string;
  readonly segment: Segment;
  readonly ring: number;
  readonly rotation: Rotation;
  /** Resolves when the pool may be no longer paused; rejects with the signal's reason. */
  untilResumed(signal: AbortSignal): Promise<void>;
}

/** Runs `task` counted; waits first while the pool is paused. */
export async function counted<T>(
  pool: CountedPool,
  task: () => T | PromiseLike<T>,
  options: { timeout: number; signal: AbortSignal | undefined },
): Promise<T> {
  options.signal?.throwIfAborted();
  if (!pool.segment.addon.enter(pool.ring)) await enterLater(pool, options);
  try {
    return await task();
  } finally {
    pool.segment.addon.leave(pool.ring);
  }
}

async function enterLater(
  pool: CountedPool,
  options: { timeout: number; signal: AbortSignal | undefined },
): Promise<void> {
  const text = `the transaction was not begun: a maintenance window of pool '${pool.name}' did not end within ${options.timeout} ms`;
  await withDeadline(
    options,
    () => new BallermannError('ERR_TIMEOUT', text),
    async ({ signal }) => {
      do await pool.untilResumed(signal);
      while (!pool.segment.addon.enter(pool.ring));
    },
  );
}

/**
 * A transaction: `fn` with the next pid, counted. A window can begin between the count and the claim of the pid
 * (the claim says so): it is waited for, and nothing has run.
 */
export async function transact<T>(
  pool: CountedPool,
  fn: (pid: number) => T | PromiseLike<T>,
  options: { timeout: number; signal: AbortSignal | undefined },
): Promise<T> {
  const until = performance.now() + options.timeout;
  for (;;) {
    const timeout = Math.max(0, until - performance.now());
    const outcome = await counted(
      pool,
      async () => {
        let pid: number;
        try {
          pid = pool.rotation.next();
        } catch (error) {
          if (error instanceof BallermannError && error.code === 'ERR_PAUSED') return undefined;
          throw error;
        }
        return { value: await fn(pid) };
      },
      { ...options, timeout },
    );
    if (outcome !== undefined) return outcome.value;
  }
}
