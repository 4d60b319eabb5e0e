/** What must be as before when a storm is over: the replicas, the rotation, and what the primary holds. */

import { tally, times } from '../support/helpers.js';
import { type Checks, demand } from './checks.js';
import {
  descriptors,
  type Inventory,
  listeners,
  type Memory,
  megabytes,
  memory,
  resources,
  settled,
  type Workers,
} from './footprint.js';
import type { Scene } from './scene.js';

/** Rotations in which everybody must come equally often. */
const ROTATIONS = 1_000;

/**
 * Bytes that the heap may have grown by. 20 s have 20,000 calls or more, so 100 bytes that each left behind would be as many;
 * what V8 compiles late is below.
 */
const HEAP_GROWTH = 2 * 2 ** 20;

/** Workers of dead replicas that may be reachable: the last argument of an event of Node's. Of 60 storms none had one. */
const LINGERING = 1;

/** What the primary holds while nothing happens. */
interface Held {
  readonly descriptors: Inventory;
  readonly listeners: Inventory;
  readonly resources: Inventory;
  /** Workers of the cluster that are not collected. */
  readonly workers: number;
  readonly memory: Memory;
}

const KINDS = ['descriptors', 'listeners', 'resources'] as const;

export async function held({ supervisor, pool }: Scene, workers: Workers): Promise<Held> {
  const inventories = await settled(async () => {
    await memory(); // collects
    return {
      descriptors: descriptors(),
      listeners: listeners(supervisor, pool),
      resources: resources(),
      workers: workers.reachable(),
    };
  });
  return { ...inventories, memory: await memory() };
}

export async function checkAftermath(
  checks: Checks,
  { supervisor, pool }: Scene,
  before: Held,
  after: Held,
  replicas: number,
): Promise<void> {
  await checks.run('all replicas are alive and in rotation', () => {
    const up = supervisor.children().filter((child) => child.state === 'up').length;
    const inRotation = pool.pids().length;
    demand(up === replicas && inRotation === replicas, `${up} up, ${inRotation} in rotation, of ${replicas}`);
    return `${inRotation} of ${replicas}`;
  });
  await checks.run('the rotation is exact', () => {
    const counts = tally(times(ROTATIONS * replicas, () => pool.pid()));
    const isExact = counts.size === replicas && [...counts.values()].every((count) => count === ROTATIONS);
    demand(isExact, `${ROTATIONS * replicas} pids: ${[...counts.values()].join(', ')}`);
    return `each pid ${ROTATIONS} times of ${ROTATIONS * replicas}`;
  });
  await checks.run('nothing is left on its way', () => {
    const {
      sent,
      redirected,
      held: waiting,
      transactions,
      malformed,
      late,
      lostCasts,
      ...stats
    } = pool.stats();
    const unfinished = stats.replicas.reduce((sum, replica) => sum + replica.unfinished, 0);
    const left = { held: waiting, transactions, unfinished, malformed, lostCasts };
    const isNothing = Object.values(left).every((count) => count === 0);
    demand(isNothing, JSON.stringify(left));
    return `${sent} messages sent, ${redirected} of them again after a death; ${late} late answers dropped`;
  });
  for (const kind of KINDS) {
    await checks.run(`${kind} of the primary are what they were`, () => {
      demand(after[kind] === before[kind], `now ${after[kind]}; before ${before[kind]}`);
      return after[kind];
    });
  }
  await checks.run('nothing of dead replicas is reachable', () => {
    const figures = `${after.workers} workers, and ${replicas} are alive`;
    demand(after.workers <= replicas + LINGERING, figures);
    return figures;
  });
  await checks.run('memory of the primary is what it was', () => {
    const growth = after.memory.heap + after.memory.external - before.memory.heap - before.memory.external;
    const figures = (['heap', 'external', 'rss'] as const).map(
      (kind) => `${kind} ${megabytes(before.memory[kind])}, then ${megabytes(after.memory[kind])}`,
    );
    demand(growth <= HEAP_GROWTH, figures.join('; '));
    return figures.join('; ');
  });
}
