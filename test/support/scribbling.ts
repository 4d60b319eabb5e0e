/** Replicas that write over the memory of their channel while the primary reads it. */

import { type Balancer, balance, call, type Supervisor } from 'ballermann';
import * as assert from 'uvu/assert';
import { tapped } from './forging.js';
import { upPids } from './gate.js';
import { type Failure, fixture, start, until } from './helpers.js';

/** How many times one replica writes over its channel: most do not live as long. */
const A_LIFE = 20_000;

export interface Siege {
  readonly supervisor: Supervisor;
  readonly pool: Balancer;
  /** Codes of what became of calls to the replicas; undefined stands for a reply. */
  readonly outcomes: Set<string | undefined>;
  /** Why the primary has ended replicas. */
  readonly reasons: Set<string | undefined>;
}

/** Has replicas do that `count` times in all. The other replica serves all the time. */
export async function scribbled(count: number, aLife = A_LIFE): Promise<Siege> {
  const supervisor = await start({
    exec: fixture('hostile.mjs'),
    env: tapped,
    intensity: 100_000,
    backoff: { initial: 1, max: 10 },
    log: false,
  });
  const pool = await balance(supervisor, 'scribbled');
  const siege: Siege = { supervisor, pool, outcomes: new Set(), reasons: new Set() };
  supervisor.on('down', ({ error }) => siege.reasons.add((error as Failure | undefined)?.code));
  const codeOf = (sent: Promise<unknown>): Promise<void> =>
    sent.then(
      () => void siege.outcomes.add(undefined),
      ({ code }: Failure) => void siege.outcomes.add(code),
    );
  for (let done = 0; done < count; done += aLife) {
    await until(() => upPids(supervisor).length === 2, 'both replicas');
    const [sender, other] = upPids(supervisor) as [number, number];
    const scribbles = { op: 'scribbleAll', count: Math.min(aLife, count - done), seed: done + 1 };
    const calls = [
      scribbles,
      ...Array.from({ length: 50 }, (_, i) => ({ op: 'echo', value: 'x'.repeat(200 * i) })),
    ];
    await Promise.all(calls.map((message) => codeOf(call(sender, message, { timeout: 3_000 }))));
    assert.is(await call(other, { op: 'echo', value: 1 }), 1, 'the other one');
    try {
      process.kill(sender, 'SIGKILL'); // it may be deaf and dumb now
    } catch {
      // it is gone
    }
    await until(() => !upPids(supervisor).includes(sender), 'its end');
  }
  await until(() => upPids(supervisor).length === 2, 'new replicas');
  for (const pid of upPids(supervisor)) assert.is(await call(pid, { op: 'echo', value: pid }), pid);
  return siege;
}
