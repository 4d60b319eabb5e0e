/**
 * Draws docs/admin-light.png, docs/admin-dark.png and docs/admin-phone.png: the page of the admin server after two minutes
 * of a server under load, in which a window has opened, a replica was killed, and all were replaced. Needs chromium.
 *
 *   node scripts/draw-admin.js [--seconds 115] [--to docs]
 */
import cluster from 'node:cluster';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { balance, call, ping, supervise } from 'ballermann';
import { launch } from 'puppeteer-core';
import { positive } from './lib/options.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '115' },
    to: { type: 'string', default: fileURLToPath(new URL('../docs', import.meta.url)) },
  },
});
const length = positive('seconds', values.seconds) * 1_000;

const listening = once(cluster, 'listening');
const supervisor = await supervise({
  exec: new URL('./draw-admin/server.js', import.meta.url),
  replicas: 4,
  name: 'shop',
  admin: 0,
  log: false,
});
const pool = await balance(supervisor, 'orders');
const [, { port }] = await listening;
const load = keepBusy(port);

const browser = await launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
const page = await browser.newPage();
await page.setViewport({ width: 1120, height: 1000, deviceScaleFactor: 1 });
await page.goto(supervisor.admin.href);

await sleep(0.35 * length);
await pool.applyWithin(
  () => sleep(0.05 * length),
  (pid) => ping(pid),
);
await sleep(0.2 * length);
process.kill(pool.pids()[2], 'SIGKILL');
await sleep(0.18 * length);
await supervisor.reload();
await sleep(0.18 * length);

for (const scheme of ['light', 'dark']) {
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await shoot(`admin-${scheme}`);
}
await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'light' }]);
await page.setViewport({ width: 360, height: 780, deviceScaleFactor: 2 });
await shoot('admin-phone');
load.abort();
await browser.close();
await supervisor.close();

/** As soon as it has been drawn once more. */
async function shoot(name) {
  await sleep(1_200);
  const path = join(values.to, `${name}.png`);
  await page.screenshot({ path });
  console.log(path);
}

/** Requests and calls, now more, now fewer, until it is aborted. */
function keepBusy(port) {
  const ended = new AbortController();
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  const began = performance.now();
  const timer = setInterval(() => {
    const s = (performance.now() - began) / 1_000;
    const many = 6 + 3 * Math.sin(s / 7) + 1.5 * Math.sin(s / 2.3) + Math.random() * 1.5;
    for (let i = 0; i < many; i++) {
      get({ port, host: '127.0.0.1', agent }, (response) => response.resume()).on('error', () => {});
      if (i % 2 === 0) call('orders', i).catch(() => {});
    }
  }, 20);
  ended.signal.addEventListener('abort', () => {
    clearInterval(timer);
    agent.destroy();
  });
  return ended;
}
