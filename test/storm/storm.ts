/**
 * The storm: calls and HTTP requests without a pause over a pool whose replicas are killed ten times a second, with
 * windows, refreshes, resizes, reloads, signals, shocks and deploys in between, as a seed says. Then nothing may be lost, and
 * all be as before.
 *
 *   npm run storm -- [--seconds 60] [--seed N] [--replicas 4]
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../support/helpers.js';
import { checkAftermath, held } from './aftermath.js';
import { Calls } from './calls.js';
import { Checks, demand } from './checks.js';
import { numbers, run } from './command.js';
import { Disturbances } from './disturbances.js';
import { Workers } from './footprint.js';
import { Random } from './random.js';
import { Scene } from './scene.js';
import { checkCalls, checkDisturbances, checkRequests } from './verdicts.js';

const CALLS = 100;
const CLIENTS = 50;

/** Seconds of a first storm, after which code is compiled and caches are full: what is there then has to be there at the end. */
const WARM_UP = 5;

/** ms: twice as long as any call, request or window may take. */
const PATIENCE = 20_000;

/** Seconds that setting up, ending and checking may take. */
const MARGIN = 120;

const { seconds, seed, replicas } = numbers('storm', {
  seconds: 60,
  seed: (Date.now() % 2 ** 31) + 1,
  replicas: 4,
});
const again = `seed ${seed}; again: npm run storm -- --seconds ${seconds} --seed ${seed} --replicas ${replicas}`;
let scene: Scene | undefined;

await run(storm, async () => scene?.[Symbol.asyncDispose](), (seconds + WARM_UP + MARGIN) * 1_000, again);

async function storm(): Promise<void> {
  console.log(again);
  const warnings: string[] = [];
  process.on('warning', ({ message }) => warnings.push(message));
  const workers = new Workers();
  scene = await Scene.set(
    { seed, clients: CLIENTS },
    // A replica lives for less than a second here.
    { replicas, healthyAfter: 100, backoff: { initial: 10, max: 50 }, log: false },
  );
  const { supervisor, pool, http, notes } = scene;
  const disturbances = new Disturbances(supervisor, pool, scene.script, replicas, seed);
  const calls = new Calls(pool, new Random(seed, 'calls'), disturbances.airtight, disturbances.shocks);

  await rage(WARM_UP);
  const before = await held(scene, workers);
  await rage(seconds);
  const after = await held(scene, workers);

  const checks = new Checks();
  await checkCalls(checks, calls, disturbances, notes);
  await checkRequests(checks, await http.report(disturbances.airtight), disturbances, notes);
  await checkDisturbances(checks, disturbances);
  await checkAftermath(checks, scene, before, after, replicas);
  await checks.run('no warning', () => {
    demand(warnings.length === 0, warnings.join('; '));
    return `${workers.forked} replicas forked`;
  });
  checks.summarize(again);

  /** So many seconds of it, and then the calm. */
  async function rage(length: number): Promise<void> {
    calls.begin(CALLS);
    await http.begin();
    disturbances.begin();
    await sleep(length * 1_000);
    await soon(disturbances.end());
    await soon(Promise.all([calls.end(), http.pause()]));
    await supervisor.resize(replicas); // it may have been resized to another number
    await until(
      () => pool.pids().length === replicas && supervisor.children().every(({ state }) => state === 'up'),
      'all replicas in rotation',
    ).catch(() => {}); // a check will say so
  }
}

/** What has not ended after this is left alone: a check will say what is missing. */
function soon(ended: Promise<unknown>): Promise<unknown> {
  return Promise.race([ended, sleep(PATIENCE, undefined, { ref: false })]);
}
