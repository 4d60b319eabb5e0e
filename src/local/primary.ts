/** The primary's side of the public functions. */

import cluster from 'node:cluster';
import { badType } from '../arguments.js';
import { BallermannError, wrongProcess } from '../errors.js';
import { type CallOptions, callOptions, checkName, checkPid, checkTarget, pingOptions } from '../options.js';
import { ignoreClosedOutput } from '../output.js';
import { Balancer } from '../primary/pools/balancer.js';
import { balancerSettings, checkPoolName } from '../primary/pools/balancer-options.js';
import { pools } from '../primary/pools/pools.js';
import { exitWithoutReplicas } from '../primary/process/giving-up.js';
import { reapOrphans } from '../primary/process/reaper.js';
import { signalGuard } from '../primary/process/signals.js';
import { relay } from '../primary/relay.js';
import { sendCall, sendCast, sendPing } from '../primary/replicas/messaging.js';
import { replicaOf } from '../primary/replicas/registry.js';
import { ownSegment } from '../primary/replicas/slots.js';
import { Supervisor } from '../primary/supervision/supervisor.js';
import { supervisorSettings } from '../primary/supervision/supervisor-options.js';
import type { Local } from './local.js';

export const primary: Local = {
  async supervise(options) {
    if (!cluster.isPrimary) {
      const where = 'a worker of node:cluster that supervise() has not started';
      throw wrongProcess('supervise', "the primary's main thread", where);
    }
    if (process.permission?.has('child') === false) {
      throw new BallermannError(
        'ERR_WRONG_PROCESS',
        'supervise starts processes, which this one may not: start it with --allow-child-process and --allow-addons ' +
          'beside --permission',
      );
    }
    const { maxReplicas } = ownSegment().segment.addon.layout;
    const supervisor = new Supervisor(supervisorSettings(options, maxReplicas), {
      relay,
      gaveUpUnheard: exitWithoutReplicas,
    });
    if (supervisor.settings.signals) signalGuard().add(supervisor);
    supervisor.once('close', ignoreClosedOutput());
    reapOrphans();
    try {
      await supervisor.start();
    } catch (error) {
      if (supervisor.settings.signals && signalGuard().isEnding()) await never();
      throw error;
    }
    return supervisor;
  },

  async balance(supervisor, name, ratio) {
    if (!(supervisor instanceof Supervisor)) throw badType('supervisor', 'what supervise() gave', supervisor);
    const settings = balancerSettings(ratio);
    const { segment } = ownSegment();
    checkPoolName(name, segment.addon.layout.nameBytes);
    if (supervisor.ended) throw supervisor.ended;
    pools.release(name, segment.addon.layout.poolCount);
    if (pools.has(name))
      throw new BallermannError('ERR_POOL_EXISTS', `there is a pool named ${JSON.stringify(name)}`);
    const balancer = new Balancer(supervisor, name, settings, segment, () => pools.delete(name));
    pools.set(name, balancer);
    if (settings.connect) await balancer.refresh().catch(() => {}); // pid() says why there is no replica
    return balancer;
  },

  pid: (name) => pools.get(name).pid(),

  call<Reply>(target: string | number, message: unknown, options?: CallOptions): Promise<Reply> {
    try {
      if (typeof target === 'string') return pools.get(target).call<Reply>(message, options);
      return sendCall<Reply>(replicaOf(checkTarget(target) as number), message, callOptions(options));
    } catch (error) {
      return Promise.reject(error);
    }
  },

  cast(target, message) {
    checkTarget(target);
    sendCast(typeof target === 'string' ? pools.get(target).route : replicaOf(target), message);
  },

  async ping(pid, options) {
    const checked = pingOptions(options);
    const replica = replicaOf(checkPid(pid));
    const until = performance.now() + checked.timeout;
    await sendPing(replica, checked);
    // What goes through a paused pool without the replica's knowledge: transactions, in whichever process.
    for (const pool of pools.values()) {
      if (pool.covers(replica)) await pool.drained(until, checked.signal);
    }
  },

  applyWithin: async (name, fn, wait, options) => pools.get(checkName(name)).applyWithin(fn, wait, options),

  transaction: async (name, fn, options) => pools.get(checkName(name)).transaction(fn, options),

  map: async (name, fn) => pools.get(checkName(name)).map(fn),

  refresh: async (name) => pools.get(checkName(name)).refresh(),

  pool: (name) => pools.get(checkName(name)),
};

/** A start that a signal has cut short is no failure that could be dealt with: the process ends. */
function never(): Promise<never> {
  return new Promise(() => {});
}
