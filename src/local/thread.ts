/** The public functions where the segment alone can answer: in a worker thread, of the primary or of a replica. */

import { wrongProcess } from '../errors.js';
import { AttachedPools } from '../memory/attached-pools.js';
import type { Local } from './local.js';

const PRIMARY = "the primary's main thread";
const PRIMARY_AND_REPLICAS = 'the main threads of the primary and of replicas';

export function threadLocal(): Local {
  return segmentLocal(new AttachedPools(), 'a worker thread');
}

/** @param where the process or thread, for the errors of what does not work there. */
export function segmentLocal(pools: AttachedPools, where: string): Local {
  const refuse =
    (what: string, home = PRIMARY) =>
    (): never => {
      throw wrongProcess(what, home, where);
    };
  const reject =
    (what: string, home = PRIMARY) =>
    async (): Promise<never> => {
      throw wrongProcess(what, home, where);
    };
  return {
    pid: (name) => pools.pid(name),
    transaction: (name, fn, options) => pools.transaction(name, fn, options),
    call: reject('call', PRIMARY_AND_REPLICAS),
    cast: refuse('cast', PRIMARY_AND_REPLICAS),
    ping: reject('ping', PRIMARY_AND_REPLICAS),
    supervise: reject('supervise'),
    balance: reject('balance'),
    applyWithin: reject('applyWithin'),
    map: reject('map'),
    refresh: reject('refresh'),
    pool: refuse('pool'),
  };
}
