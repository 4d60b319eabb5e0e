/** The primary's side of the public functions. */

import cluster from 'node:cluster';
import { badType } from '../arguments.js';
import { BallermannError } from '../errors.js';
import type { Local } from '../local.js';
import { callOptions, checkName, checkPid, checkTarget, pingOptions } from '../options.js';
import type { Codec } from '../wire/codec.js';
import { Balancer } from './balancer.js';
import { balancerSettings, checkPoolName } from './balancer-options.js';
import { nobody, promised } from './message.js';
import { send } from './messaging.js';
import { ownSegment, pools, replicaOf } from './registry.js';
import { guard } from './signals.js';
import { Supervisor } from './supervisor.js';
import { supervisorSettings } from './supervisor-options.js';

export const primary: Local = {
  async supervise(options) {
    if (!cluster.isPrimary) {
      throw new BallermannError(
        'ERR_WRONG_PROCESS',
        'supervise works in the primary; this is a worker of node:cluster',
      );
    }
    const { segment } = ownSegment();
    const supervisor = new Supervisor(supervisorSettings(options, segment.addon.layout.maxReplicas));
    guard(supervisor);
    await supervisor.start();
    return supervisor;
  },

  async balance(supervisor, name, ratio) {
    if (!(supervisor instanceof Supervisor)) throw badType('supervisor', 'what supervise() gave', supervisor);
    const settings = balancerSettings(ratio);
    checkPoolName(name, ownSegment().segment.addon.layout.nameBytes);
    if (supervisor.ended) throw supervisor.ended;
    if (pools.has(name))
      throw new BallermannError('ERR_POOL_EXISTS', `a pool is named ${JSON.stringify(name)} already`);
    const balancer = new Balancer(supervisor, name, settings);
    if (settings.connect) await balancer.refresh().catch(() => {}); // pid() says why there is no replica
    return balancer;
  },

  pid: (name) => pools.get(name).pid(),

  async call<Reply>(target: string | number, message: unknown, options?: Parameters<Local['call']>[2]) {
    const checked = callOptions(options);
    const codec = codecOf(checkTarget(target));
    const payload = codec.encode(message);
    return new Promise<Reply>((resolve, reject) => {
      send('call', target, payload, promised(resolve, reject), { ...checked, codec });
    });
  },

  cast(target, message) {
    const codec = codecOf(checkTarget(target));
    const payload = codec.encode(message);
    send('cast', target, payload, nobody, {
      codec,
      timeout: undefined,
      signal: undefined,
      idempotent: false,
    });
  },

  async ping(pid, options) {
    const checked = pingOptions(options);
    const replica = replicaOf(checkPid(pid));
    const { codec } = replica;
    const until = performance.now() + checked.timeout;
    await new Promise((resolve, reject) => {
      send('ping', pid, '', promised(resolve, reject), { ...checked, codec });
    });
    // What goes through a paused pool without the replica's knowledge: transactions, in whichever process.
    for (const pool of pools.values()) {
      if (pool.supervisor.present().includes(replica)) await pool.drained(until, checked.signal);
    }
  },

  applyWithin: async (name, fn, wait, options) => pools.get(checkName(name)).applyWithin(fn, wait, options),

  transaction: async (name, fn, options) => pools.get(checkName(name)).transaction(fn, options),

  map: async (name, fn) => pools.get(checkName(name)).map(fn),

  refresh: async (name) => pools.get(checkName(name)).refresh(),

  pool: (name) => pools.get(checkName(name)),
};

/** @throws BallermannError ERR_NO_SUCH_POOL, ERR_NO_SUCH_REPLICA. */
function codecOf(target: string | number): Codec {
  return typeof target === 'string' ? pools.get(target).supervisor.codec : replicaOf(target).codec;
}
