/**
 * The load, in a process of its own: clients that always have a request in flight, and check each answer. Started by
 * traffic.js, which asks it things by message: node load.js URL CLIENTS
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from './client.js';
import { now } from './clock.js';
import { editionOf, PAGES } from './pages.js';

const REPORT_EVERY = 100; // ms
const KEPT_FAILURES = 5;

const [url, clients] = process.argv.slice(2);

const tally = {
  /** Answered with the right content. */
  answered: 0,
  failed: 0,
  /** What the first failures were. */
  failures: [],
  /** Tries that ended with the replica that was killed; their requests were asked again. */
  cutOff: 0,
  /** By pid: connections open, connections opened in all, requests answered. */
  byPid: {},
};
const connections = {
  opened(pid) {
    tally.byPid[pid] ??= { open: 0, opened: 0, answered: 0 };
    tally.byPid[pid].open++;
    tally.byPid[pid].opened++;
  },
  closed(pid) {
    tally.byPid[pid].open--;
  },
};

let next = 0;
let stopping = false;
let killing; // the replica that is being killed on purpose
let watched; // what is noted of each answer, while somebody wants to know
const inFlight = []; // by client

/** What traffic.js can ask. */
const asks = {
  async killing(pid) {
    killing = pid;
  },
  async killed() {
    killing = undefined;
  },
  async watch() {
    watched = [];
  },
  /** What was noted since watch(), of all requests that are asked by now. */
  async watched() {
    await Promise.all(inFlight);
    const noted = watched;
    watched = undefined;
    return noted;
  },
  async stop() {
    stopping = true;
    await running;
    return tally;
  },
};

process.on('message', async ({ id, ask, argument }) => {
  process.send({ id, answer: await asks[ask](argument) });
});
process.once('disconnect', () => process.exit());
process.on('SIGINT', () => {
  stopping = true; // a terminal sends Ctrl-C to all at once
});
setInterval(() => process.send({ tally }), REPORT_EVERY).unref();

const running = Promise.all(Array.from({ length: Number(clients) }, (_, i) => keepAsking(i)));

async function keepAsking(i) {
  const client = new Client(url, connections);
  while (!stopping) {
    inFlight[i] = askOne(client, next++ % PAGES);
    await inFlight[i];
  }
  client.close();
}

async function askOne(client, page) {
  const asked = now();
  try {
    const { status, headers, text } = await untilAnswered(client, page);
    if (status !== 200) throw new Error(`status ${status}`);
    const edition = editionOf(page, text);
    if (edition === undefined) throw new Error(`page ${page} is not whole`);
    const [began, ended] = headers['x-ran'].split(' ').map(Number);
    tally.answered++;
    tally.byPid[headers['x-pid']].answered++;
    watched?.push({ asked, began, ended, edition, release: headers['x-release'] });
  } catch (error) {
    if (tally.failed++ < KEPT_FAILURES) tally.failures.push(error.message);
    await sleep(20);
  }
}

/** Asks again what was cut off by the kill: to read a page twice does no harm. All other errors are failures. */
async function untilAnswered(client, page) {
  for (;;) {
    try {
      return await client.ask(page);
    } catch (error) {
      if (!isCutOff(error)) throw error;
      tally.cutOff++;
    }
  }
}

/** Nobody knows who had a connection that broke before its first answer: at the time of a kill, the killed one. */
function isCutOff({ code, pid }) {
  const isBroken = code === 'ECONNRESET' || code === 'EPIPE';
  return isBroken && killing !== undefined && (pid === undefined || pid === killing);
}
