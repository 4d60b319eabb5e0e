/**
 * The soak: calls and HTTP requests at a steady rate for long, and nothing grows: neither what the primary holds, nor its
 * memory, nor how long an answer takes.
 *
 *   npm run soak -- [--minutes 10] [--calls 500] [--requests 200] [--replicas 2]
 *
 * Both rates are a second.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { median, slope } from '../support/figures.js';
import { Checks, demand } from './checks.js';
import { numbers, run } from './command.js';
import {
  descriptors,
  type Inventory,
  listeners,
  type Memory,
  megabytes,
  memory,
  resources,
  settled,
} from './footprint.js';
import type { Latencies } from './http.js';
import { Scene } from './scene.js';
import { SteadyCalls } from './steady-calls.js';

/** Looks in all; the first fifth of them is the time in which code is compiled and caches fill. */
const LOOKS = 20;
const FIRST_FIFTH = LOOKS / 5;

/**
 * Bytes that memory may grow by for each call or request, as the slope of the looks after the first fifth. No object of V8 is
 * smaller than 16, and no block of glibc's malloc smaller than 32: so one that is left behind each time is more.
 */
const HEAP_SLOPE = 12;
const RSS_SLOPE = 24;

/** Of the second half's median latency to the first half's, plus ms that a shared machine may add. */
const LATENCY_RATIO = 2;
const LATENCY_NOISE = { p50: 1, p99: 10 };

/** Seconds that setting up, looking and ending may take. */
const MARGIN = 300;

interface Look {
  readonly minute: number;
  /** Calls and requests until then. */
  readonly operations: number;
  readonly memory: Memory;
  readonly held: Inventory;
  readonly calls: Latencies;
  readonly requests: Latencies;
}

const options = numbers('soak', { minutes: 10, calls: 500, requests: 200, replicas: 2 });
const { minutes, replicas } = options;
let scene: Scene | undefined;

await run(soak, async () => scene?.[Symbol.asyncDispose](), (minutes * 60 + MARGIN) * 1_000, 'npm run soak');

async function soak(): Promise<void> {
  scene = await Scene.set({ seed: 1, clients: 50, rate: options.requests }, { replicas });
  const { supervisor, pool, http } = scene;
  const calls = new SteadyCalls(pool, options.calls);
  const looks: Look[] = [];
  let operations = 0;

  console.log(
    'minute | heap | external | RSS | descriptors | timers and handles | calls p50, p99 | requests p50, p99',
  );
  for (let look = 1; look <= LOOKS; look++) {
    calls.begin();
    await http.begin();
    await sleep((minutes * 60_000) / LOOKS);
    // A collection would be in the way of what is timed, and what is under way in the way of the counts.
    await Promise.all([calls.pause(), http.pause()]);
    const [callsTook, requestsTook] = [calls.latencies(), await http.latencies()];
    operations += callsTook.count + requestsTook.count;
    const held = await settled(() => [descriptors(), listeners(supervisor, pool), resources()].join('; '));
    const before = looks.at(-1)?.held;
    looks.push({
      minute: (look / LOOKS) * minutes,
      operations,
      memory: await memory(),
      held: held === before ? before : held, // one text, or the looks themselves would fill the heap
      calls: callsTook,
      requests: requestsTook,
    });
    if (look % Math.max(1, Math.round(LOOKS / minutes)) === 0) console.log(row(looks.at(-1) as Look));
  }
  const report = await http.report([]);

  const checks = new Checks();
  const steady = looks.slice(FIRST_FIFTH);
  const half = steady.length / 2;
  const total = options.calls + options.requests;
  await checks.run('all were answered', () => {
    const figures = `${calls.answered} calls and ${report.answered} requests; ${calls.failed} and ${report.failed} failed`;
    demand(calls.answered > 0 && report.answered > 0 && calls.failed === 0 && report.failed === 0, figures);
    return figures;
  });
  await checks.run('the rate was held', () => {
    const rate = operations / (minutes * 60);
    const figures = `${rate.toFixed(0)} a second of ${total}`;
    demand(rate > total * 0.9, figures);
    return figures;
  });
  await checks.run('descriptors, listeners, timers and handles: flat', () => {
    const [first] = steady as [Look];
    const other = steady.find(({ held }) => held !== first.held);
    demand(other === undefined, `after a fifth ${first.held}; later ${other?.held}`);
    return `the same in each look after the first fifth: ${first.held}`;
  });
  for (const [kind, limit] of [
    ['heap', HEAP_SLOPE],
    ['rss', RSS_SLOPE],
  ] as const) {
    await checks.run(`${kind}: flat`, () => {
      const bytes = slope(steady.map((look) => [look.operations, look.memory[kind]]));
      const of = (looks: readonly Look[]): string =>
        megabytes(median(looks.map((look) => look.memory[kind])));
      const figures = `${bytes.toFixed(2)} bytes a call or request, of ${limit} at most; ${of(steady.slice(0, half))} in the first half, ${of(steady.slice(half))} in the second`;
      demand(bytes <= limit, figures);
      return figures;
    });
  }
  for (const what of ['calls', 'requests'] as const) {
    for (const part of ['p50', 'p99'] as const) {
      await checks.run(`${part} of ${what}: flat`, () => {
        const of = (looks: readonly Look[]): number => median(looks.map((look) => look[what][part]));
        const [before, after] = [of(steady.slice(0, half)), of(steady.slice(half))];
        const figures = `${before.toFixed(1)} ms in the first half, ${after.toFixed(1)} ms in the second`;
        demand(after <= before * LATENCY_RATIO + LATENCY_NOISE[part], figures);
        return figures;
      });
    }
  }
  checks.summarize();
}

function row({ minute, memory: { heap, external, rss }, calls, requests }: Look): string {
  const count = (inventory: Inventory): number =>
    inventory.split(', ').reduce((sum, part) => sum + Number.parseInt(part, 10), 0);
  const latency = ({ p50, p99 }: Latencies): string => `${p50.toFixed(1)}, ${p99.toFixed(1)} ms`;
  const memories = [heap, external, rss].map(megabytes);
  return [
    minute.toFixed(1),
    ...memories,
    count(descriptors()),
    count(resources()),
    latency(calls),
    latency(requests),
  ].join(' | ');
}
