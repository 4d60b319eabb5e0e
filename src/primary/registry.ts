/** What this primary has: replicas by pid, pools by name, and the free slots of its segment. */

import { BallermannError, noSuchPool, noSuchReplica } from '../errors.js';
import { createSegment, Segment } from '../memory/segment.js';
import type { Balancer } from './balancer.js';
import type { ReplicaProcess } from './replica-process.js';

export const replicas = new Map<number, ReplicaProcess>();

/** @throws BallermannError ERR_NO_SUCH_REPLICA. */
export function replicaOf(pid: number): ReplicaProcess {
  const replica = replicas.get(pid);
  if (replica === undefined) throw noSuchReplica(pid);
  return replica;
}

/** Pools by name, with the last one at hand: most callers ask for the same again. */
class Pools {
  readonly #byName = new Map<string, Balancer>();
  #lastName: string | undefined;
  #last: Balancer | undefined;

  /** @throws BallermannError ERR_NO_SUCH_POOL. */
  get(name: string): Balancer {
    if (name === this.#lastName) return this.#last as Balancer;
    const balancer = this.#byName.get(name);
    if (balancer === undefined) throw noSuchPool(name);
    this.#lastName = name;
    this.#last = balancer;
    return balancer;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  add(name: string, balancer: Balancer): void {
    this.#byName.set(name, balancer);
  }

  delete(name: string): void {
    this.#byName.delete(name);
    this.#lastName = undefined;
    this.#last = undefined;
  }

  values(): Iterable<Balancer> {
    return this.#byName.values();
  }
}

export const pools = new Pools();

let segmentFd: number | undefined;
let freeSlots: number[] = [];

/** The primary's segment, made at the first use. @throws BallermannError ERR_NATIVE_UNAVAILABLE. */
export function ownSegment(): { segment: Segment; fd: number } {
  if (segmentFd === undefined) {
    segmentFd = createSegment();
    const { slotCount } = Segment.require().addon.layout;
    freeSlots = Array.from({ length: slotCount - 1 }, (_, i) => slotCount - 1 - i); // pop() gives 1 first
  }
  return { segment: Segment.require(), fd: segmentFd };
}

/** @throws BallermannError ERR_SEGMENT_FULL, and takes none then. */
export function takeSlots(count: number): number[] {
  if (count > freeSlots.length) {
    throw new BallermannError(
      'ERR_SEGMENT_FULL',
      `no room for ${count} more replicas: ${freeSlots.length} slots are free`,
    );
  }
  return Array.from({ length: count }, () => freeSlots.pop() as number);
}

export function giveSlotBack(slot: number): void {
  freeSlots.push(slot);
}
