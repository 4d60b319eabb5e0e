/**
 * The primary's side of the public functions. What needs no more than a pool or a replica that is there already is here; the
 * rest, in supervising.ts, is loaded by the first that asks for it.
 */

import { type CallOptions, callOptions, checkName, checkPid, checkTarget, pingOptions } from '../options.js';
import { pools } from '../primary/pools/pools.js';
import { replicaOf } from '../primary/replicas/registry.js';
import type { Local } from './local.js';

type Supervising = typeof import('./supervising.js');

let supervising: Supervising | undefined;

/** Not awaited where it is done: what is called then begins at once. */
async function load(): Promise<Supervising> {
  supervising ??= await import('./supervising.js');
  return supervising;
}

/** For whoever has a replica, which nobody can have before it is loaded. */
function loaded(): Supervising {
  return supervising as Supervising;
}

export const primary: Local = {
  supervise: async (options) => (supervising ?? (await load())).supervise(options),

  balance: async (supervisor, name, ratio) =>
    (supervising ?? (await load())).balance(supervisor, name, ratio),

  pid: (name) => pools.get(name).pid(),

  call<Reply>(target: string | number, message: unknown, options?: CallOptions): Promise<Reply> {
    try {
      if (typeof target === 'string')
        return pools.get(target).call<unknown>(message, options) as Promise<Reply>;
      const replica = replicaOf(checkTarget(target) as number);
      return loaded().sendCall<Reply>(replica, message, callOptions(options));
    } catch (error) {
      return Promise.reject(error);
    }
  },

  cast(target, message) {
    checkTarget(target);
    if (typeof target === 'string') return pools.get(target).cast(message);
    const replica = replicaOf(target);
    loaded().sendCast(replica, message);
  },

  async ping(pid, options) {
    const checked = pingOptions(options);
    const replica = replicaOf(checkPid(pid));
    return loaded().ping(replica, checked);
  },

  applyWithin: async (name, fn, wait, options) => pools.get(checkName(name)).applyWithin(fn, wait, options),

  transaction: async (name, fn, options) => pools.get(checkName(name)).transaction(fn, options),

  map: async (name, fn) => pools.get(checkName(name)).map(fn),

  refresh: async (name) => pools.get(checkName(name)).refresh(),

  pool: (name) => pools.get(checkName(name)),
};
