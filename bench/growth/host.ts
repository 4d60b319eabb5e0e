/** Measures one point, in a primary of its own, and ends. */

import { readFileSync } from 'node:fs';
import { balance, call, supervise } from 'ballermann';
import { drive } from '../calls/load.js';
import { echo, type Message, type Reply } from '../calls/messages.js';
import type { Point, Setup } from './series.js';

export interface Order {
  readonly setup: Setup;
  readonly leadIn: number;
  readonly ms: number;
}

/** ms: each replica compiles its own hot code. */
const WARM_UP_EACH = 40;

const order: Order = JSON.parse(process.argv[2] as string);
process.on('disconnect', () => process.exit()); // whoever asked has the answer or is gone; no replica outlives this process
const point = await measure(order);
process.send?.(point);

async function measure({ setup, leadIn, ms }: Order): Promise<Point> {
  const { replicas, pools, inFlight, length } = setup;
  const begin = performance.now();
  const supervisor = await supervise({ exec: new URL('../calls/replica.js', import.meta.url), replicas });
  const startMs = performance.now() - begin;
  const names = Array.from({ length: pools }, (_, i) => `pool ${i}`);
  for (const name of names) await balance(supervisor, name);
  let turn = 0;
  const next = (message: Message): Promise<Reply> =>
    call<Reply>(names[turn++ % pools] as string, message, { timeout: 60_000 });
  let primaryRss = 0;
  const sampling = setInterval(() => {
    primaryRss = Math.max(primaryRss, process.memoryUsage.rss());
  }, 20);
  const load = { inFlight, payload: echo(length), leadIn: leadIn + WARM_UP_EACH * replicas, ms };
  const { perSecond, cpu } = await drive(next, load);
  clearInterval(sampling);
  const sizes = supervisor.children().map(({ pid }) => rssOf(pid as number));
  await supervisor.close();
  const replicaRss = sizes.reduce((sum, size) => sum + size, 0) / replicas;
  return { perSecond, cpu, startMs, primaryRss, replicaRss };
}

/** Bytes; NaN where the system has no /proc. */
function rssOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  } catch {
    return Number.NaN;
  }
}
