/**
 * Forks one replica through `node:cluster`. cluster.setupPrimary is global and remembers: so every field is set
 * right before each fork, and what the application had set is put back after it.
 */

import cluster, { type ClusterSettings, type Worker } from 'node:cluster';
import type { Stream } from 'node:stream';
import { INDEX_ENV, REPLICA_ENV, type ReplicaEnv } from '../../channel/environment.js';
import type { SideDescriptors } from '../../channel/shared-channel.js';
import { type Boot, boot } from './boot.js';
import type { SupervisorSettings } from './supervisor-options.js';

/** The descriptors under which a replica finds the segment, its lifeline and its channel. */
const SEGMENT_FD = 4;
const LIFELINE_FD = 5;
const CHANNEL_FDS = { memory: 6, ear: 7, bell: 8 };

/** Every field that setupPrimary knows, so that none of another caller's survives. */
type EveryField = {
  [key in keyof Required<ClusterSettings>]: ClusterSettings[key] | undefined;
};

/** The primary's descriptors that a replica inherits. */
export interface Inherited {
  readonly segment: number;
  readonly lifeline: number;
  readonly channel: SideDescriptors;
}

/**
 * @param refused is told, in a later turn, why the system refuses the fork: no process, descriptor or memory is left.
 * @returns undefined then.
 */
export function forkReplica(
  settings: SupervisorSettings,
  { id, slot }: { readonly id: number; readonly slot: number },
  inherited: Inherited,
  report: string | undefined,
  refused: (error: Error) => void,
): Worker | undefined {
  const before = { ...cluster.settings };
  const { serialization, shutdown, maxHeldRequests, maxHoldTime, waitReady } = settings;
  const replica = (env: Boot['env']): ReplicaEnv => ({
    ...env,
    supervisor: settings.name,
    slot,
    fd: SEGMENT_FD,
    channel: CHANNEL_FDS,
    serialization,
    watchRss: settings.recycle.maxRss < Number.POSITIVE_INFINITY,
    report,
    waitReady,
    listen: settings.listen,
    sticky: settings.sticky !== undefined,
    lifeline: LIFELINE_FD,
    shutdown: shutdown === Number.POSITIVE_INFINITY ? null : shutdown,
    maxHeldRequests,
    maxHoldTime,
  });
  try {
    const { require, descriptors, env } = boot(settings.execArgv);
    setup({
      exec: settings.exec,
      args: [...settings.args],
      // Not --import: it would have Node load the script a few turns of the loop later, and what the primary has sent
      // meanwhile finds no listener.
      execArgv: ['--require', require, ...settings.execArgv],
      cwd: settings.cwd,
      serialization,
      silent: false,
      stdio: [
        'inherit',
        'inherit',
        'inherit',
        'ipc',
        asStream(inherited.segment),
        asStream(inherited.lifeline),
        asStream(inherited.channel.memory),
        asStream(inherited.channel.ear),
        asStream(inherited.channel.bell),
        ...descriptors.map(asStream),
      ],
      uid: undefined,
      gid: undefined,
      inspectPort: undefined,
      windowsHide: undefined,
    });
    const worker = cluster.fork({
      ...settings.env,
      [INDEX_ENV]: `${id}`,
      [REPLICA_ENV]: JSON.stringify(replica(env)),
    });
    if (worker.process.pid !== undefined) return worker;
    worker.once('error', (error) => {
      delete cluster.workers?.[worker.id]; // Node keeps it where there was no descriptor for its channel
      refused(error);
    });
  } catch (error) {
    setImmediate(refused, error as Error); // Node throws what it does not expect of a system: ENOMEM
  } finally {
    setup({
      exec: before.exec ?? process.argv[1],
      args: before.args ?? process.argv.slice(2),
      execArgv: before.execArgv ?? process.execArgv,
      cwd: before.cwd,
      serialization: before.serialization,
      silent: before.silent ?? false,
      stdio: before.stdio,
      uid: before.uid,
      gid: before.gid,
      inspectPort: before.inspectPort,
      windowsHide: before.windowsHide,
    });
  }
  return undefined;
}

/** Node takes a bare descriptor, and its types do not say so. */
function asStream(fd: number): Stream {
  return fd as unknown as Stream;
}

function setup(fields: EveryField): void {
  cluster.setupPrimary(fields as ClusterSettings);
}
