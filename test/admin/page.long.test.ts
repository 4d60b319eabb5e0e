/// <reference lib="dom" />
/** The page of the admin server in a browser: what happens is on it within a second, for eyes, keyboards and screen readers. */

import { existsSync } from 'node:fs';
import { type Balancer, balance, call, ping, type Supervisor, type SupervisorOptions } from 'ballermann';
import { type Browser, launch, type Page, type SerializedAXNode } from 'puppeteer-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type OpenWindow, openWindow } from '../support/gate.js';
import { start, until } from '../support/helpers.js';

const chromium = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync);
const isMissing = chromium === undefined && !process.env['CI'];
if (isMissing) console.log('there is no chromium here, the tests are skipped: apt-get install chromium');

interface Context {
  supervisor: Supervisor;
  pool: Balancer;
  browser: Browser;
  page: Page;
  /** What the console of the page was told that is an error, and what the page could not load. */
  complaints: string[];
  /** All addresses that it has asked. */
  asked: string[];
}

const test = suite<Context>('page');
const inBrowser = isMissing ? test.skip : test;

/** Two replicas of a name and a pool that would be markup if they were not text. */
async function serve(admin: SupervisorOptions['admin'] = 0): Promise<[Supervisor, Balancer]> {
  const supervisor = await start({ name: '<b>shop</b>', admin, log: false });
  return [supervisor, await balance(supervisor, '<i>orders</i>')];
}

test.before(async (context) => {
  if (isMissing) return;
  [context.supervisor, context.pool] = await serve();
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
  context.browser = await launch({ executablePath: chromium ?? 'chromium', args });
  const page = await context.browser.newPage();
  context.page = page;
  context.complaints = [];
  context.asked = [];
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) context.complaints.push(message.text());
  });
  page.on('pageerror', (error) => context.complaints.push(String(error)));
  page.on('requestfailed', (request) => context.complaints.push(`${request.url()} has failed`));
  page.on('request', (request) => context.asked.push(request.url()));
  await page.goto(context.supervisor.admin?.href as string);
  await says(page, '#connection', 'Live');
});

test.after(async ({ supervisor, browser }) => {
  await browser?.close();
  await supervisor?.close();
});

/** Waits until an element of the page has that text. @returns when it had: ms since the epoch, by the browser. */
async function says(page: Page, selector: string, text: string): Promise<number> {
  return when(
    page,
    (wanted, where) => document.querySelector(where as string)?.textContent?.includes(wanted as string),
    text,
    selector,
  );
}

/** Waits until `condition` holds in the page, looking at each frame. @returns when it did. */
async function when(
  page: Page,
  condition: (...args: unknown[]) => unknown,
  ...args: unknown[]
): Promise<number> {
  const source = `(...args) => (${condition})(...args) ? Date.now() : 0`;
  const handle = await page.waitForFunction(`(${source})(...${JSON.stringify(args)})`, { timeout: 10_000 });
  return (await handle.jsonValue()) as number;
}

/** How long each took, in ms. All are looked for at once: the way to the browser and back is nothing of the page's. */
async function since(began: number, seen: Promise<number>[]): Promise<number[]> {
  return (await Promise.all(seen)).map((at) => at - began);
}

/** Waits until something of that kind is drawn in the chart of all replicas. */
function drawn(page: Page, kind: string): Promise<number> {
  return when(page, (name) => document.querySelector(`#total .${name}`)?.getAttribute('d'), kind);
}

inBrowser('what a name holds is text', async ({ page }) => {
  assert.is(await page.$eval('h1', (element) => element.textContent), '<b>shop</b>');
  assert.is(await page.title(), '<b>shop</b> · ballermann');
  await says(page, '#pools tbody th', '<i>orders</i>');
  assert.is(await page.$('b, i'), null);
});

inBrowser('a SIGKILL of a replica is on the page within a second', async ({ supervisor, page }) => {
  const pid = supervisor.children()[1]?.pid as number;
  await says(page, '#replicas tr[data-key="1"] th', `pid ${pid}`);
  const began = Date.now();
  process.kill(pid, 'SIGKILL');
  const seen = await since(began, [
    says(page, '#events', 'replica 1 was ended by SIGKILL'),
    drawn(page, 'deaths'),
    says(page, '#replicas tr[data-key="1"] [data-label="Restarts"]', '1'),
  ]);
  assert.ok(Math.max(...seen) < 1_000, seen.join());
  const again = await until(
    () => supervisor.children().find(({ id, state }) => id === 1 && state === 'up'),
    'its start',
  );
  await says(page, '#replicas tr[data-key="1"] th', `pid ${again?.pid}`);
});

inBrowser('a window is on the page within a second, and its end', async ({ pool, page }) => {
  const state = '#pools [data-label="State"]';
  const began = Date.now();
  const window: OpenWindow = await openWindow(pool, (pid) => ping(pid));
  const seen = await since(began, [
    says(page, '#events', 'window of pool <i>orders</i> has opened'),
    drawn(page, 'windows'),
    says(page, state, 'window open'),
  ]);
  assert.ok(Math.max(...seen) < 1_000, seen.join());
  const ending = Date.now();
  await window.end();
  assert.ok((await says(page, state, 'serving')) - ending < 1_000);
});

inBrowser('even the shortest window leaves a band', async ({ pool, page }) => {
  const bands = (): Promise<number> =>
    page.$eval('#total .windows', (path) => path.getAttribute('d')?.match(/M/g)?.length ?? 0);
  const before = await bands();
  await pool.applyWithin(() => {});
  await until(async () => (await bands()) > before, 'its band');
});

inBrowser('a reload is on the page within a second, and its end', async ({ supervisor, page }) => {
  const began = Date.now();
  const reloaded = supervisor.reload();
  const seen = await since(began, [says(page, '#state', 'reloading'), drawn(page, 'reloads')]);
  assert.ok(Math.max(...seen) < 1_000, seen.join());
  await reloaded;
  const ending = Date.now();
  assert.ok((await says(page, '#events', 'reload done')) - ending < 1_000);
  await says(page, '#state', 'running');
});

inBrowser('calls are drawn, and a utilization, a memory and a rate for each replica', async ({ page }) => {
  await Promise.all(Array.from({ length: 50 }, (_, i) => call('<i>orders</i>', i)));
  await when(
    page,
    () => Number(document.querySelector('[data-figure="requests and calls / s"] span')?.textContent) > 0,
  );
  for (const column of ['Utilization', 'Memory', 'Per second']) {
    const paths = await page.$$eval(`#replicas [data-label="${column}"] .line`, (lines) =>
      lines.map((line) => line.getAttribute('d')?.includes('L')),
    );
    assert.equal(paths, [true, true], column);
  }
});

inBrowser('a screen reader finds tables with headers, a log, and names for all', async ({ page }) => {
  const tree = await page.accessibility.snapshot({ interestingOnly: false });
  const nodes: SerializedAXNode[] = [];
  const collect = (node: SerializedAXNode): void => {
    nodes.push(node);
    node.children?.forEach(collect);
  };
  collect(tree as SerializedAXNode);
  const named = (role: string): string[] =>
    nodes.filter((node) => node.role === role).map(({ name = '' }) => name);
  assert.equal(named('table'), ['Replicas', 'Pools']);
  assert.equal(named('columnheader').slice(0, 5), [
    'Replica',
    'State',
    'Utilization',
    'Memory',
    'Per second',
  ]);
  assert.equal(
    named('rowheader').map((name) => name.split(' ')[0]),
    ['0', '1', '<i>orders</i>'],
  );
  assert.equal(named('log'), ['Events']);
  assert.equal(named('button'), ['Pause']);
  assert.match(
    named('image')[0] ?? '',
    /^Requests and calls per second .* now \d.*\d windows?, 1 reload, 1 death\.$/,
  );
  assert.equal(named('main').length, 1);
  assert.equal(named('heading'), [
    '<b>shop</b>',
    'Requests and calls per second',
    'Replicas',
    'Pools',
    'Events newest first',
  ]);
  assert.is(await page.$eval('html', (element) => element.getAttribute('lang')), 'en');
});

inBrowser(
  'the keyboard reaches the button, its focus is visible, and it pauses the page',
  async ({ page }) => {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(() => {
      const element = document.activeElement as HTMLElement;
      return [element.id, getComputedStyle(element).outlineStyle];
    });
    assert.equal(focused, ['pause', 'solid']);
    await page.keyboard.press('Space');
    await says(page, '#connection', 'Paused');
    assert.is(await page.$eval('#pause', (button) => button.getAttribute('aria-pressed')), 'true');
    await page.keyboard.press('Space');
    await says(page, '#connection', 'Live');
  },
);

inBrowser('at 360 px nothing is cut off, and the tables are still tables', async ({ page }) => {
  await page.setViewport({ width: 360, height: 740 });
  const widths = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.equal(widths, [360, 360]);
  const outside = await page.$$eval('main *, header *', (elements) =>
    elements
      .filter((element) => element.getBoundingClientRect().right > 360.5)
      .map((element) => element.outerHTML),
  );
  assert.equal(outside, []);
  const tree = JSON.stringify(await page.accessibility.snapshot({ interestingOnly: false }));
  for (const role of ['table', 'rowheader', 'columnheader', 'cell']) assert.match(tree, `"role":"${role}"`);
  await page.setViewport({ width: 1120, height: 800 });
});

inBrowser('light and dark follow the system, and text has contrast in both', async ({ page }) => {
  const seen = new Set<string>();
  for (const value of ['light', 'dark']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value }]);
    const colours = await page.$$eval(
      'h1, .quiet, dt, time, #connection, #events .bad span, tbody td',
      (elements) =>
        elements.map((element) => [
          getComputedStyle(element).color,
          getComputedStyle(document.body).backgroundColor,
        ]),
    );
    for (const [text, paper] of colours as [string, string][]) {
      assert.ok(contrast(text, paper) >= 4.5, `${value}: ${text} on ${paper}`); // as WCAG 2 AA asks
      seen.add(paper);
    }
  }
  assert.is(seen.size, 2);
});

inBrowser(
  'it has asked its own server alone, and nothing has failed',
  async ({ supervisor, complaints, asked }) => {
    assert.equal(complaints, []);
    const { origin } = supervisor.admin as URL;
    assert.equal(
      asked.filter((url) => new URL(url).origin !== origin && !url.startsWith('data:')),
      [],
    );
  },
);

// The last one: connections that fail are complaints of the browser.
inBrowser('when the primary goes the page says so, and goes on with the next one', async (context) => {
  const { supervisor, page } = context;
  const port = Number(supervisor.admin?.port);
  await supervisor.close();
  await says(page, '#connection', 'No connection since');
  assert.is(await page.$eval('main', (main) => getComputedStyle(main).opacity), '0.5');
  [context.supervisor, context.pool] = await serve(port);
  await says(page, '#connection', 'Live');
  await says(page, '#replicas tr[data-key="0"] th', `pid ${context.supervisor.children()[0]?.pid}`);
});

test.run();

/** The ratio of WCAG 2 of two colours as getComputedStyle gives them. */
function contrast(one: string, other: string): number {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

function luminance(colour: string): number {
  const [red, green, blue] = (colour.match(/\d+/g) as string[]).map((part) => {
    const value = Number(part) / 255;
    return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
