/** Pools as seen from replicas and worker threads: found by name in the segment, read there, never published. */

import { checkFunction } from '../arguments.js';
import { noSuchPool, poolRefusal, type Refusal } from '../errors.js';
import { type TransactionOptions, transactionOptions } from '../options.js';
import { Pause } from './pause.js';
import { Rotation } from './rotation.js';
import { Segment } from './segment.js';
import { type CountedPool, transact } from './transactions.js';

export class AttachedPools {
  readonly #pools = new Map<string, CountedPool>();
  #lastName: string | undefined;
  #lastRotation: Rotation | undefined;

  /** @throws BallermannError ERR_NO_SUCH_POOL, ERR_PAUSED, ERR_DISCONNECTED, ERR_OVERLOAD. */
  pid(name: string): number {
    if (name === this.#lastName && this.#lastRotation?.isOpen) return this.#lastRotation.next();
    const { rotation } = this.get(name);
    this.#lastName = name;
    this.#lastRotation = rotation;
    return rotation.next();
  }

  async transaction<T>(
    name: string,
    fn: (pid: number) => T | PromiseLike<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkFunction('fn', fn);
    return transact(this.get(name), fn, transactionOptions(options));
  }

  /** @throws BallermannError ERR_NO_SUCH_POOL. */
  get(name: string): CountedPool {
    let pool = this.#pools.get(name);
    if (!pool?.rotation.isOpen) {
      pool = this.#find(name);
      this.#pools.set(name, pool);
    }
    return pool;
  }

  #find(name: string): CountedPool {
    const segment = Segment.current();
    const tooLong = segment !== undefined && Buffer.byteLength(String(name)) > segment.addon.layout.nameBytes;
    const ring = tooLong ? undefined : segment?.addon.findRing(String(name));
    if (segment === undefined || ring === undefined) throw noSuchPool(name);
    const rotation = new Rotation(segment, ring, (why) => refuse(name, why));
    // The ring may have become another pool's before the rotation noted its epoch: the name tells, looked at after.
    if (segment.addon.findRing(String(name)) !== ring) throw noSuchPool(name);
    const word = segment.ringWord(ring, segment.addon.layout.ringWord);
    const pause = new Pause(() => ((segment.words[word] as number) & 1) === 0);
    return { name, segment, ring, rotation, untilResumed: (signal) => pause.ended(signal) };
  }
}

function refuse(name: string, why: Refusal): never {
  throw why === 'closed' ? noSuchPool(name) : poolRefusal(name, why);
}
