/** The public functions where the segment alone can answer: in a worker thread, of the primary or of a replica. */

import { wrongProcess } from '../errors.js';
import { AttachedPools } from '../memory/attached-pools.js';
import type { Local } from './local.js';

export function threadLocal(): Local {
  return segmentLocal(new AttachedPools(), 'a worker thread');
}

/** @param where the process or thread, for the errors of what does not work there. */
export function segmentLocal(pools: AttachedPools, where: string): Local {
  const refuse = (what: string) => (): never => {
    throw wrongProcess(what, where);
  };
  const reject = (what: string) => async (): Promise<never> => {
    throw wrongProcess(what, where);
  };
  return {
    pid: (name) => pools.pid(name),
    transaction: (name, fn, options) => pools.transaction(name, fn, options),
    call: reject('call'),
    cast: refuse('cast'),
    ping: reject('ping'),
    supervise: reject('supervise'),
    balance: reject('balance'),
    applyWithin: reject('applyWithin'),
    map: reject('map'),
    refresh: reject('refresh'),
    pool: refuse('pool'),
  };
}
