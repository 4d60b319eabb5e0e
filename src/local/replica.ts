/** The public functions in a replica: its rotations read the ring themselves, its messages go by the primary. */

import { AttachedPools } from '../memory/attached-pools.js';
import { callOptions, checkPid, checkTarget, pingOptions } from '../options.js';
import type { Runtime } from '../replica/found.js';
import type { Local } from './local.js';
import { segmentLocal } from './thread.js';

export function replicaLocal({ requests }: Runtime): Local {
  const pools = new AttachedPools();
  return {
    ...segmentLocal(pools, `replica ${process.pid}`),
    call: async <Reply>(target: string | number, message: unknown, options?: Parameters<Local['call']>[2]) =>
      requests.request('call', checkKnown(target), message, callOptions(options)) as Promise<Reply>,
    cast: (target, message) => requests.cast(checkKnown(target), message, callOptions(undefined)),
    ping: async (pid, options) => {
      await requests.request('ping', checkPid(pid), undefined, pingOptions(options));
    },
  };

  /** A name that is in no pool is known here and now; a pid only by the primary. */
  function checkKnown(target: string | number): string | number {
    checkTarget(target);
    if (typeof target === 'string') pools.get(target);
    return target;
  }
}
