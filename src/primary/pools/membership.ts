/** Who is in a pool's rotation: follows the supervisor down at once, and up when the ratio, or somebody, says so. */

import type { BallermannError } from '../../errors.js';
import type { ReplicaProcess } from '../replicas/replica-process.js';
import type { Supervisor } from '../supervision/supervisor.js';
import type { SupervisorObserver } from '../supervision/supervisor-events.js';
import type { BalancerSettings } from './balancer-options.js';
import { isBelowRatio } from './ratio.js';

/** What the pool does about it. */
export interface MembershipListener {
  /** The members are others now. */
  changed(): void;
  /** A refresh is complete. */
  refreshed(): void;
  /** There will be no members any more. */
  ended(): void;
}

export class Membership implements SupervisorObserver {
  readonly #supervisor: Supervisor;
  readonly #settings: BalancerSettings;
  readonly #listener: MembershipListener;
  /** In the order of the rotation. */
  readonly #members = new Map<number, ReplicaProcess>();
  #original = 0;
  #connected = false;
  /** Some child failed to start during the last refresh: look again when one comes up. */
  #incomplete = false;
  #refreshing: Promise<boolean> | undefined;
  #again = false;
  #reconnect: NodeJS.Timeout | undefined;
  #left = false;

  constructor(supervisor: Supervisor, settings: BalancerSettings, listener: MembershipListener) {
    this.#supervisor = supervisor;
    this.#settings = settings;
    this.#listener = listener;
    supervisor.observe(this);
  }

  get size(): number {
    return this.#members.size;
  }

  /** Members at the last completed refresh. */
  get original(): number {
    return this.#original;
  }

  /** Whether there has been a refresh: before it the supervisor is not followed. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Whether the supervisor may still bring replicas. */
  get mayGrow(): boolean {
    return !this.#left && this.#supervisor.ended === undefined;
  }

  /** What ended the supervisor, if it has ended. */
  get cause(): BallermannError | undefined {
    return this.#supervisor.ended;
  }

  get(pid: number): ReplicaProcess | undefined {
    return this.#members.get(pid);
  }

  /** All members are blocked: as somebody has to be in rotation, all are. */
  get isPanicking(): boolean {
    return this.size > 0 && this.replicas().every(({ blocked }) => blocked);
  }

  /** All that are handed out have as many unfinished messages as they may have. */
  get isFull(): boolean {
    return this.rotation().every(({ unfinished }) => unfinished >= this.#settings.maxQueueLength);
  }

  /** Writes again into shared memory how many unfinished messages each member has. */
  recount(): void {
    for (const replica of this.#members.values()) replica.recount();
  }

  /** The members that are handed out: those that are not blocked, if there are any. */
  rotation(): ReplicaProcess[] {
    const turning = this.replicas().filter(({ blocked }) => !blocked);
    return turning.length > 0 ? turning : this.replicas();
  }

  /** Those that are up and no members: the ratio is not low enough for them. */
  outside(): ReplicaProcess[] {
    if (!this.mayGrow) return [];
    return this.#supervisor.up().filter((replica) => this.#members.get(replica.pid) !== replica);
  }

  replicas(): ReplicaProcess[] {
    return [...this.#members.values()];
  }

  /**
   * Makes the members what the supervisor has up. Complete when every replica that was being started is up or has
   * failed. False where the supervisor has ended, or the pool has left it.
   */
  refresh(): Promise<boolean> {
    this.#again = true;
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** Stops following the supervisor; nobody is a member any more. Tells nobody. */
  leave(): void {
    this.#left = true;
    this.#members.clear();
    this.#stopLooking();
    this.#supervisor.unobserve(this);
  }

  up(): void {
    if (this.#refreshing !== undefined) this.#follow(); // it need not wait for those that are not
    if (this.#incomplete) this.#refreshInBackground();
  }

  leaving(replica: ReplicaProcess, successor: ReplicaProcess | undefined): void {
    if (successor === undefined) this.down(replica);
    else this.#replace(replica, successor);
  }

  /** No death: the ratio stays what it is. */
  turned(replica: ReplicaProcess): void {
    if (this.#members.get(replica.pid) === replica) this.#listener.changed();
  }

  down(replica: ReplicaProcess): void {
    if (this.#members.get(replica.pid) !== replica) return;
    this.#members.delete(replica.pid);
    this.#listener.changed();
    if (isBelowRatio(this.#members.size, this.#original, this.#settings.minAliveRatio))
      this.#refreshInBackground();
  }

  async renewed(): Promise<void> {
    if (!this.#connected) return;
    this.#follow(); // also where a refresh is under way
    await this.refresh();
  }

  ended(): void {
    this.#members.clear();
    this.#stopLooking();
    this.#listener.changed();
    this.#listener.ended();
  }

  /** In the same place of the rotation, in one step: neither the ratio nor `original` have anything to do with it. */
  #replace(replica: ReplicaProcess, successor: ReplicaProcess): void {
    if (this.#members.get(replica.pid) !== replica) return;
    const members = this.replicas().map((member) => (member === replica ? successor : member));
    this.#members.clear();
    for (const member of members) this.#members.set(member.pid, member);
    this.#listener.changed();
  }

  async #refresh(): Promise<boolean> {
    this.#connected = true;
    while (this.#again && this.mayGrow) {
      this.#again = false;
      this.#follow(); // those that are up need not wait for those that are not
      const complete = await this.#supervisor.settled();
      if (!this.mayGrow) break;
      this.#follow();
      this.#original = this.#members.size;
      this.#incomplete = !complete;
    }
    if (!this.mayGrow) return false;
    if (this.#members.size === 0) this.#lookAgain();
    this.#listener.refreshed();
    return true;
  }

  #refreshInBackground(): void {
    if (this.#connected) void this.refresh();
  }

  #follow(): void {
    const up = new Set(this.#supervisor.up());
    let changed = false;
    for (const replica of this.#members.values()) {
      if (up.delete(replica)) continue;
      this.#members.delete(replica.pid);
      changed = true;
    }
    for (const replica of up) {
      this.#members.set(replica.pid, replica);
      changed = true;
    }
    if (this.#members.size > 0) this.#stopLooking();
    if (changed) this.#listener.changed();
  }

  /** Looks for children every `reconnectDelay` until there are some. */
  #lookAgain(): void {
    this.#reconnect ??= setInterval(() => this.#refreshInBackground(), this.#settings.reconnectDelay).unref();
  }

  #stopLooking(): void {
    clearInterval(this.#reconnect);
    this.#reconnect = undefined;
  }
}
