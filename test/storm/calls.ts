/** A load of calls: so many in flight at all times, and what became of each. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Balancer, CallOptions } from 'ballermann';
import { Deadlines } from './deadlines.js';
import type { Random } from './random.js';
import { now, overlaps, type Span } from './windows.js';

export type Kind =
  /** May run twice. */
  | 'idempotent'
  /** May run once only. */
  | 'once'
  /** Is never answered: only its time limit ends it. */
  | 'hanging'
  /** Its caller gives it up. */
  | 'aborted';

const KINDS: readonly (readonly [Kind, number])[] = [
  ['idempotent', 68],
  ['once', 25],
  ['hanging', 2],
  ['aborted', 5],
];

/** The outcome of a call that was refused because all replicas had just died. */
export const SHOCKED = 'refused in a shock';

/** ms. */
const TIMEOUT = 5_000;

interface Reply {
  readonly id: number;
  readonly begun: number;
  readonly ended: number;
}

export class Calls {
  readonly deadlines = new Deadlines();
  begun = 0;
  settled = 0;
  /** Replies to another call than the one that they settled. */
  mixedUp = 0;
  /** Answered calls that ran in a window. */
  inWindow = 0;
  /** How often each outcome came: 'answered', or the error's code. */
  readonly outcomes: Record<Kind, Map<string, number>> = {
    idempotent: new Map(),
    once: new Map(),
    hanging: new Map(),
    aborted: new Map(),
  };
  /** The replicas whose death calls failed with. */
  readonly diedWith = new Set<number>();
  readonly #pool: Balancer;
  readonly #random: Random;
  readonly #windows: readonly Span[];
  readonly #shocks: readonly Span[];
  #callers: Promise<unknown> = Promise.resolve();
  #isOver = true;

  /** @param shocks spans in which the pool may have nobody: it has to refuse calls then. */
  constructor(pool: Balancer, random: Random, windows: readonly Span[], shocks: readonly Span[]) {
    this.#pool = pool;
    this.#random = random;
    this.#windows = windows;
    this.#shocks = shocks;
  }

  begin(inFlight: number): void {
    this.#isOver = false;
    this.#callers = Promise.all(Array.from({ length: inFlight }, () => this.#caller()));
  }

  /** Begins no more; resolves when all have settled. */
  end(): Promise<unknown> {
    this.#isOver = true;
    return this.#callers;
  }

  /** How many calls of that kind there were, those with one of the outcomes if any is given. */
  count(kind: Kind, ...outcomes: string[]): number {
    let sum = 0;
    for (const [outcome, count] of this.outcomes[kind])
      if (outcomes.length === 0 || outcomes.includes(outcome)) sum += count;
    return sum;
  }

  async #caller(): Promise<void> {
    while (!this.#isOver) {
      const outcome = await this.#call(this.#random.weighted(KINDS));
      if (outcome !== 'answered') await sleep(1); // it may fail at once, and all the others too
    }
  }

  async #call(kind: Kind): Promise<string> {
    const id = this.begun++;
    const ms = this.#random.between(0, 30);
    const timeout = kind === 'hanging' ? this.#random.between(20, 200) : TIMEOUT;
    const options: CallOptions = { timeout, idempotent: kind === 'idempotent' };
    if (kind === 'aborted') options.signal = this.#abortedIn(this.#random.between(0, 30));
    const message = { id, ms, once: kind === 'once', hangs: kind === 'hanging' };
    const settled = this.deadlines.watch(timeout);
    const asked = now();
    let outcome = 'answered';
    try {
      const reply = await this.#pool.call<Reply>(message, options);
      if (reply.id !== id) this.mixedUp++;
      if (overlaps(this.#windows, reply.begun, reply.ended)) this.inWindow++;
    } catch (error) {
      outcome = this.#failed(error as { code?: string; name: string; pid?: number });
      if (outcome === 'ERR_DISCONNECTED' && overlaps(this.#shocks, asked, now())) outcome = SHOCKED;
    }
    settled();
    this.settled++;
    const outcomes = this.outcomes[kind];
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    return outcome;
  }

  #failed({ code, name, pid }: { code?: string; name: string; pid?: number }): string {
    if (code === 'ERR_REPLICA_DIED' && pid !== undefined) this.diedWith.add(pid);
    return name === 'AbortError' ? name : (code ?? name);
  }

  #abortedIn(ms: number): AbortSignal {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), ms);
    return controller.signal;
  }
}
