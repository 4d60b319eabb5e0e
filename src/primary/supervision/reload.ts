/** A rolling reload: what it may change, in which order the replicas are replaced, and when it stops. */

import { checkInteger, checkOptions, checkStrings } from '../../arguments.js';
import { BallermannError } from '../../errors.js';
import type { ReloadTrace } from '../../tracing.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import type { Child } from './child.js';
import { type Crew, replace } from './replacement.js';
import { checkEnv, execPath, type SupervisorSettings } from './supervisor-options.js';

export interface ReloadOptions {
  /** The script of the new replicas, as `exec` of supervise. @default the present one, which is read again */
  exec?: string | URL;
  /** Replaces the whole `env` of supervise. @default the present one */
  env?: Readonly<Record<string, string | undefined>>;
  /** Arguments of the script. @default the present ones */
  args?: readonly string[];
  /** How many replicas are replaced at a time. Up to that many more processes run during the reload. @default 1 */
  maxUnavailable?: number;
}

/** @throws TypeError or RangeError that names the option. */
export function reloadChanges(options: ReloadOptions): {
  changes: Partial<SupervisorSettings>;
  maxUnavailable: number;
} {
  checkOptions('options', options, ['exec', 'env', 'args', 'maxUnavailable']);
  const { exec, env, args, maxUnavailable = 1 } = options;
  return {
    changes: {
      ...(exec !== undefined && { exec: execPath(exec) }),
      ...(env !== undefined && { env: checkEnv(env) }),
      ...(args !== undefined && { args: [...checkStrings('options.args', args)] }),
    },
    maxUnavailable: checkInteger('options.maxUnavailable', maxUnavailable, 1, Number.POSITIVE_INFINITY),
  };
}

/**
 * Replaces every replica.
 * @returns the settings, which hold from now on.
 * @throws what kept it from being done.
 */
export async function reload(
  crew: Crew,
  settings: SupervisorSettings,
  maxUnavailable: number,
  trace?: ReloadTrace,
): Promise<SupervisorSettings> {
  try {
    await replaceEach(crew, maxUnavailable, async (child, signal) => {
      const replica = await replace(crew, child, settings, 'reload', signal);
      trace?.replaced.push({ index: child.id, pid: replica.pid, at: performance.now() });
      return replica;
    });
    const ended = crew.ended();
    if (ended !== undefined) throw ended;
  } catch (error) {
    crew.announce('reloadFailed', error as BallermannError);
    throw error;
  }
  crew.announce('reloaded');
  return settings;
}

/**
 * Has every child replaced, `atATime` of them at a time. The first failure ends it, and those that are under way are
 * given up; so does a new replica that does not stay up, since what gets ready and then dies is as broken as what does
 * not get ready. Settles when nothing is under way any more.
 * @throws the first failure.
 */
async function replaceEach(
  crew: Crew,
  atATime: number,
  replaceOne: (child: Child, signal: AbortSignal) => Promise<ReplicaProcess>,
): Promise<void> {
  const failed = new AbortController();
  const waiting = crew.staying();
  const fresh = new Map<ReplicaProcess, () => void>(); // each with what stops the watch for its death

  const replaceInTurn = async (): Promise<void> => {
    try {
      for (let child = waiting.shift(); child !== undefined; child = waiting.shift()) {
        if (failed.signal.aborted) return;
        if (!crew.staying().includes(child)) continue; // gone for good meanwhile, as temporary ones go
        const replica = await replaceOne(child, failed.signal);
        fresh.set(
          replica,
          replica.onDeath(() => failed.abort(fallen(replica))),
        );
      }
    } catch (error) {
      failed.abort(error);
    }
  };
  const turns = Math.min(atATime, waiting.length);
  await Promise.all(Array.from({ length: turns }, replaceInTurn));
  for (const stop of fresh.values()) stop();
  failed.signal.throwIfAborted();
  for (const replica of fresh.keys()) if (replica.state !== 'up') throw fallen(replica); // it was told to go
}

function fallen({ pid, exit }: ReplicaProcess): BallermannError {
  const { code = null, signal = null, error: cause } = exit ?? {};
  const how = exit === undefined ? 'was asked to stop' : `ended with ${signal ?? `code ${code}`}`;
  const why = cause === undefined ? '' : `: ${cause.message}`;
  return new BallermannError(
    'ERR_START_FAILED',
    `the new replica ${pid} ${how} before the reload was done${why}`,
    {
      pid,
      exitCode: code,
      signal,
      cause,
    },
  );
}
