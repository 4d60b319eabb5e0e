/** The public functions in a worker thread, of the primary or of a replica: what the segment alone can answer. */

import { wrongProcess } from './errors.js';
import type { Local } from './local.js';
import { AttachedPools } from './memory/attached-pools.js';

const refuse = (what: string) => (): never => {
  throw wrongProcess(what, 'a worker thread');
};
const reject = (what: string) => async (): Promise<never> => {
  throw wrongProcess(what, 'a worker thread');
};

export function threadLocal(): Local {
  const pools = new AttachedPools();
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
