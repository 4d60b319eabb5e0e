/** The children of one supervisor: who there is, by id. Each has its slot from the day it is added. */

import type { ReplicaProcess } from '../replicas/replica-process.js';
import { giveSlotBack } from '../replicas/slots.js';
import type { Child, ChildInfo } from './child.js';

export class Children implements Iterable<Child> {
  readonly #all = new Set<Child>();
  readonly #onRemoved: (slot: number) => void;

  /** @param onRemoved is given the slot of one that is gone: no process comes in it any more. */
  constructor(onRemoved: (slot: number) => void) {
    this.#onRemoved = onRemoved;
  }

  /** Also those that leave, and those that are to take another's place. In no order. */
  [Symbol.iterator](): Iterator<Child> {
    return this.#all.values();
  }

  add(child: Child): void {
    this.#all.add(child);
  }

  has(child: Child): boolean {
    return this.#all.has(child);
  }

  /** Idempotent: gone children are not removed twice. */
  remove(child: Child): void {
    if (!this.#all.delete(child)) return;
    this.#onRemoved(child.slot);
    giveSlotBack(child.slot);
  }

  /** The lowest ids that no child has, not even one that leaves. */
  freeIds(count: number): number[] {
    const taken = new Set([...this.#all].map(({ id }) => id));
    const free: number[] = [];
    for (let id = 0; free.length < count; id++) if (!taken.has(id)) free.push(id);
    return free;
  }

  of(replica: ReplicaProcess): Child | undefined {
    return [...this.#all].find((child) => child.replica === replica);
  }

  /** Those that are to stay, each place once, by id. */
  staying(): Child[] {
    return this.#inOrder().filter(({ retired, isSuccessor }) => !retired && !isSuccessor);
  }

  infos(): ChildInfo[] {
    return this.#inOrder().map(({ info }) => info);
  }

  /** Their processes: those that fit, all unless told otherwise. */
  replicas(fits: (replica: ReplicaProcess) => boolean = () => true): ReplicaProcess[] {
    return this.#inOrder()
      .map(({ replica }) => replica)
      .filter((replica) => replica !== undefined && fits(replica)) as ReplicaProcess[];
  }

  /**
   * Resolves when each start that is now under way has ended: true where all are up. A restart that has been put off
   * counts as failed: it may be far away.
   */
  async settled(): Promise<boolean> {
    const coming = [...this.#all].filter(({ isComing }) => isComing);
    const started = coming.filter(({ isPutOff }) => !isPutOff);
    const failures = await Promise.all(started.map(({ attempt }) => attempt.ended));
    return started.length === coming.length && failures.every((failure) => failure === undefined);
  }

  /** A place may have two while one leaves and the other comes: the older one first. */
  #inOrder(): Child[] {
    return [...this.#all].sort((a, b) => a.id - b.id || a.incarnation - b.incarnation);
  }
}
