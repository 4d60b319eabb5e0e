/** The public functions in a replica: its rotations read the ring themselves, its messages go by the primary. */

import { wrongProcess } from '../errors.js';
import type { Local } from '../local.js';
import { AttachedPools } from '../memory/attached-pools.js';
import { callOptions, checkPid, checkTarget, pingOptions } from '../options.js';
import type { ReplicaRuntime } from './runtime.js';

export function replicaLocal({ requests }: ReplicaRuntime): Local {
  const pools = new AttachedPools();
  const here = `replica ${process.pid}`;
  const refuse = (what: string) => (): never => {
    throw wrongProcess(what, here);
  };
  const reject = (what: string) => async (): Promise<never> => {
    throw wrongProcess(what, here);
  };
  return {
    pid: (name) => pools.pid(name),
    transaction: (name, fn, options) => pools.transaction(name, fn, options),
    call: async <Reply>(target: string | number, message: unknown, options?: Parameters<Local['call']>[2]) =>
      requests.request('call', checkKnown(target), message, callOptions(options)) as Promise<Reply>,
    cast: (target, message) => requests.cast(checkKnown(target), message, callOptions(undefined)),
    ping: async (pid, options) => {
      await requests.request('ping', checkPid(pid), undefined, pingOptions(options));
    },
    supervise: reject('supervise'),
    balance: reject('balance'),
    applyWithin: reject('applyWithin'),
    map: reject('map'),
    refresh: reject('refresh'),
    pool: refuse('pool'),
  };

  /** A name that is in no pool is known here and now; a pid only by the primary. */
  function checkKnown(target: string | number): string | number {
    checkTarget(target);
    if (typeof target === 'string') pools.get(target);
    return target;
  }
}
