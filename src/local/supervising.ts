/** What needs the whole of the primary's side. It is loaded when something is supervised: most processes only import the package. */

import cluster from 'node:cluster';
import type { Admin } from '../admin/admin.js';
import { badType } from '../arguments.js';
import { BallermannError, wrongProcess } from '../errors.js';
import { type CheckedCallOptions, checkPid, pingOptions } from '../options.js';
import { ignoreClosedOutput } from '../output.js';
import { Balancer } from '../primary/pools/balancer.js';
import { balancerSettings, checkPoolName } from '../primary/pools/balancer-options.js';
import { pools } from '../primary/pools/pools.js';
import { exitWithoutReplicas, isGivingUp, stopBeforeExit } from '../primary/process/giving-up.js';
import { reapOrphans } from '../primary/process/reaper.js';
import { signalGuard } from '../primary/process/signals.js';
import { relay } from '../primary/relay.js';
import { sendPing } from '../primary/replicas/messaging.js';
import { replicaOf } from '../primary/replicas/registry.js';
import type { ReplicaProcess } from '../primary/replicas/replica-process.js';
import { ownSegment } from '../primary/replicas/slots.js';
import { Supervisor } from '../primary/supervision/supervisor.js';
import { supervisorSettings } from '../primary/supervision/supervisor-options.js';
import type { Local } from './local.js';

export { sendCall, sendCast } from '../primary/replicas/messaging.js';

/** Of the supervisors that have one. */
const admins = new WeakMap<Supervisor, Admin>();

export const supervise: Local['supervise'] = async (options) => {
  if (!cluster.isPrimary) {
    const where = 'a worker of node:cluster that supervise() has not started';
    throw wrongProcess('supervise', "the primary's main thread", where);
  }
  if (process.permission?.has('child') === false) {
    throw new BallermannError(
      'ERR_WRONG_PROCESS',
      'supervise() starts processes, and --permission forbids that here: add --allow-child-process and --allow-addons',
    );
  }
  const { maxReplicas } = ownSegment().segment.addon.layout;
  const settings = supervisorSettings(options, maxReplicas);
  const control = settings.control ? await openControl(settings.name) : undefined;
  const systemd = settings.systemd ? await import('../systemd/service.js') : undefined;
  const supervisor = new Supervisor(settings, { relay, gaveUpUnheard: exitWithoutReplicas });
  control?.serve(supervisor);
  await startAdmin(supervisor);
  if (supervisor.settings.signals) signalGuard().add(supervisor);
  stopBeforeExit(supervisor);
  supervisor.once('close', ignoreClosedOutput());
  reapOrphans();
  const service = systemd?.serviceOf((text) => supervisor.log.write('systemd', { level: 'warn', text }, {}));
  service?.add(supervisor);
  try {
    await supervisor.start();
  } catch (error) {
    if (isGivingUp() || (supervisor.settings.signals && signalGuard().isEnding())) await never();
    throw error;
  }
  service?.started(supervisor);
  return supervisor;
};

/** Whose name is taken, or who can have no socket, learns that before anything is forked. */
async function openControl(name: string): Promise<{ serve(supervisor: Supervisor): void }> {
  const { Control } = await import('../control/control.js');
  return Control.open(name, (pid, options) => ping(replicaOf(checkPid(pid)), pingOptions(options)));
}

export const balance: Local['balance'] = async (supervisor, name, ratio) => {
  if (!(supervisor instanceof Supervisor))
    throw badType('supervisor', 'the Supervisor that supervise() resolved with', supervisor);
  const settings = balancerSettings(ratio);
  const { segment } = ownSegment();
  checkPoolName(name, segment.addon.layout.nameBytes);
  if (supervisor.ended) throw supervisor.ended;
  pools.release(name, segment.addon.layout.poolCount);
  if (pools.has(name))
    throw new BallermannError(
      'ERR_POOL_EXISTS',
      `a pool named ${JSON.stringify(name)} exists already: choose another name, or close() that one`,
    );
  const balancer = new Balancer(supervisor, name, settings, segment, () => pools.delete(name));
  pools.set(name, balancer);
  admins.get(supervisor)?.follow(balancer);
  if (settings.connect) await balancer.refresh().catch(() => {}); // pid() says why there is no replica
  return balancer;
};

export async function ping(replica: ReplicaProcess, options: CheckedCallOptions): Promise<void> {
  const until = performance.now() + options.timeout;
  await sendPing(replica, options);
  // What goes through a paused pool without the replica's knowledge: transactions, in whichever process.
  for (const pool of pools.values()) {
    if (pool.covers(replica)) await pool.drained(until, options.signal);
  }
}

/** Before anything is started: a probe finds it however long the replicas take, and nothing has to be stopped if it cannot listen. */
async function startAdmin(supervisor: Supervisor): Promise<void> {
  const { admin: settings } = supervisor.settings;
  if (settings === undefined) return;
  const { Admin } = await import('../admin/admin.js');
  const admin = await Admin.start(supervisor, settings).catch(async (error) => {
    await supervisor.stop('start failed'); // whoever waits for its 'close' is to know
    throw error;
  });
  supervisor.adminUrl = admin.url;
  admins.set(supervisor, admin);
  supervisor.once('close', () => admin.close());
}

/** A start that the end of the process has cut short is no failure that could be dealt with. */
function never(): Promise<never> {
  return new Promise(() => {});
}
