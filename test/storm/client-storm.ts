/**
 * The storm of clients: they abort, reset, stall and send nonsense to servers of every kind, as a seed says, among windows,
 * reloads and kills. Ordinary requests beside them are answered, no replica dies but those that are killed, and at the
 * end nothing is counted.
 *
 *   npm run storm -- --clients [--seconds 60] [--seed N] [--replicas 2]
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Balancer, balance, ping, type Supervisor, supervise } from 'ballermann';
import { ownSegment } from '#src/primary/replicas/slots.js';
import { fixture, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';
import { ask, secrets } from '../support/web.js';
import { Checks, demand } from './checks.js';
import type { Settings } from './client-process.js';
import { type Ports, ways } from './clients.js';
import { numbers, run } from './command.js';
import { Downs } from './downs.js';
import { Random } from './random.js';

const CLIENTS = 16;
const ORDINARY = 4;

/** ms: no client stays for so long, so a window that waits by ping takes less, where all is given back. */
const PATIENCE = 4_000;

/** ms: ordinary requests wait for windows, and for a machine that is busy. */
const ANSWER = 15_000;

const SHUTDOWN = 8_000;

const { seconds, seed, replicas } = numbers('storm -- --clients', {
  seconds: 60,
  seed: (Date.now() % 2 ** 31) + 1,
  replicas: 2,
});
const again = `seed ${seed}; again: npm run storm -- --clients --seconds ${seconds} --seed ${seed} --replicas ${replicas}`;
const folder = new Folder();
let supervisor: Supervisor | undefined;

await run(storm, async () => supervisor?.close(), (seconds + 60) * 1_000, again);

async function storm(): Promise<void> {
  console.log(again);
  const file = folder.at('ports');
  const options = new Random(seed, 'options');
  supervisor = await supervise({
    exec: fixture('servers/unruly.mjs'),
    replicas,
    waitReady: 'ready',
    listen: options.weighted([['balanced', 1] as const, ['node', 1] as const]),
    maxHeldRequests: options.weighted([[4, 1] as const, [10_000, 1] as const]),
    maxHoldTime: options.weighted([[50, 1] as const, [5_000, 1] as const]),
    shutdown: SHUTDOWN,
    healthyAfter: 100,
    backoff: { initial: 10, max: 50 },
    log: { info: () => {}, warn: note, error: note },
    env: { PORTS: file, SLOW: '30', ...secrets },
  });
  await until(() => existsSync(file), 'the ports');
  const all = JSON.parse(readFileSync(file, 'utf8'));
  const ports = Object.fromEntries(Object.entries(all).map(([name, port]) => [name, Number(port)])) as Ports;
  await using pool = await balance(supervisor, 'clients');
  const downs = new Downs(supervisor);
  const faults: string[] = [];
  let isOver = false;
  function note(_details: object, text: string): void {
    if (/did not stop/.test(text)) faults.push(text);
  }

  const settings: Settings = { ports, seed, clients: CLIENTS };
  const script = fileURLToPath(new URL('./client-process.js', import.meta.url));
  const clients = fork(script, [JSON.stringify(settings)], { execArgv: ['--enable-source-maps'] });
  clients.once('exit', (code) => faults.push(`the clients have exited with ${code}`));
  let answered = 0;
  const ordinary = Array.from({ length: ORDINARY }, async () => {
    while (!isOver) {
      const began = performance.now();
      try {
        const { status, headers } = await ask(ports.http, '/slow', { signal: AbortSignal.timeout(ANSWER) });
        // No room in a window: it says so, and when to come again.
        if (status === 200) answered++;
        else if (status !== 503 || headers['retry-after'] === undefined)
          faults.push(`an answer of ${status}`);
      } catch (error) {
        if (!downs.wereKilledSince(began)) faults.push(`an ordinary request: ${(error as Error).message}`);
      }
      await sleep(20);
    }
  });
  let windows = 0;
  let longest = 0;
  const disturbances = [
    repeat('windows', async (random) => {
      await sleep(random.between(50, 400));
      const began = performance.now();
      try {
        await windowByPing(pool, random.below(60));
        windows++;
        longest = Math.max(longest, performance.now() - began);
      } catch (error) {
        if (!downs.wereKilledSince(began)) faults.push(`a window: ${(error as Error).message}`);
      }
    }),
    repeat('kills', async (random) => {
      await sleep(random.between(1_000, 4_000));
      const up = supervisor?.children().filter(({ state }) => state === 'up') ?? [];
      const victim = up[random.below(up.length)]?.pid;
      if (victim !== undefined && up.length > 1) downs.kill(victim);
    }),
    repeat('reloads', async (random) => {
      await sleep(random.between(2_000, 6_000));
      const began = performance.now();
      await supervisor?.reload().catch((error: Error) => {
        if (!downs.wereKilledSince(began)) faults.push(`a reload: ${error.message}`);
      });
    }),
  ];
  function repeat(stream: string, what: (random: Random) => Promise<void>): Promise<void> {
    const random = new Random(seed, stream);
    return (async () => {
      while (!isOver) await what(random);
    })();
  }

  await sleep(seconds * 1_000);
  isOver = true;
  const left = once(clients, 'message') as Promise<[Record<string, number>]>;
  clients.send('end');
  const [figures] = await left;
  clients.removeAllListeners('exit').disconnect();
  await Promise.all([...ordinary, ...disturbances]);

  const checks = new Checks();
  await checks.run('ordinary requests were answered, windows opened and reloads ended', () => {
    const text = `${answered} answered, ${windows} windows, the longest ${longest.toFixed(0)} ms`;
    demand(faults.length === 0, `${faults.slice(0, 5).join('; ')}; ${faults.length} in all; ${text}`);
    demand(answered > 0 && windows > 0, text);
    return text;
  });
  await checks.run('every kind of client was there', () => {
    const missing = Object.keys(ways).filter((way) => !(way in figures));
    demand(missing.length === 0 || seconds < 10, `missing: ${missing.join()}`);
    return Object.entries(figures)
      .map(([way, count]) => `${count} ${way}`)
      .join(', ');
  });
  await checks.run('nothing stays counted, and a window by ping opens', async () => {
    await until(
      () => counted() === 0,
      () => `${counted()} requests to be given back`,
      2_000,
    );
    const began = performance.now();
    await windowByPing(pool, 0);
    const took = performance.now() - began;
    demand(took < 1_000, `${took.toFixed(0)} ms`);
    return `${took.toFixed(0)} ms`;
  });
  await checks.run('the replicas stop in order', async () => {
    const began = performance.now();
    await supervisor?.close();
    return `${(performance.now() - began).toFixed(0)} ms`;
  });
  await checks.run('nothing has died but what was killed', () => {
    demand(downs.others.length === 0, downs.others.join('; '));
    return `${downs.kills} kills`;
  });
  folder[Symbol.dispose]();
  checks.summarize(again);
}

function windowByPing(pool: Balancer, ms: number): Promise<void> {
  return pool.applyWithin(
    () => sleep(ms),
    (pid) => ping(pid, { timeout: PATIENCE }),
  );
}

/** Requests that the replicas say they run, by their slots. */
function counted(): number {
  const { segment } = ownSegment();
  const { slotCount, slotRequests } = segment.addon.layout;
  let sum = 0;
  for (let slot = 1; slot < slotCount; slot++)
    sum += segment.words[segment.slotWord(slot, slotRequests)] as number;
  return sum;
}
