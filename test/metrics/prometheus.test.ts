/** What ballermann/prometheus exports, by both clients, and whether Prometheus and the dashboards take it. */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as prometheusIo from '@prometheus-io/client';
import { type Balancer, balance, type Supervisor } from 'ballermann';
import { collect, type PrometheusClient, type PrometheusRegistry } from 'ballermann/prometheus';
import * as promClient from 'prom-client';
import { suite, test } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { pidAt } from '../support/gate.js';
import { fixture, killed, next, start, throws } from '../support/helpers.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const examples = `${root}/examples/observability`;

interface Registry extends PrometheusRegistry {
  metrics(): Promise<string>;
  getMetricsAsJSON(): Promise<{ name: string; type: string }[]>;
  clear(): void;
}

interface Client extends PrometheusClient {
  readonly Registry: new (contentType?: string) => Registry;
  readonly register: Registry;
}

const clients: Record<string, Client> = {
  'prom-client': promClient as unknown as Client,
  '@prometheus-io/client': prometheusIo as unknown as Client,
};

/** A line of the exposition: its value by its name with its labels, in order. */
function valuesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const values = new Map<string, number>();
  for (const line of lines) {
    const [, series, value] = /^(\S+?(?:\{.*\})?) (\S+)$/.exec(line) as unknown as [string, string, string];
    assert.not.ok(values.has(series), `twice: ${series}`);
    values.set(series, Number(value));
  }
  return values;
}

/** Whoever has no promtool skips this; CI has to have it. */
function accepted(text: string): void {
  const { error, status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
  });
  if (error !== undefined && !process.env['CI']) return console.log('promtool is missing: not checked');
  assert.is(error, undefined);
  assert.is(`${stdout}${stderr}`, '');
  assert.is(status, 0);
}

interface Scene {
  supervisor: Supervisor;
  pool: Balancer;
}

const exported = suite<Scene>('what is exported');

exported.before(async (scene) => {
  scene.supervisor = await start({ exec: fixture('metrics/replica.mjs'), name: 'shop', log: false });
  scene.pool = await balance(scene.supervisor, 'resize "a\\b"');
});

exported.after(({ supervisor }) => supervisor?.close());

for (const [name, client] of Object.entries(clients)) {
  exported(`${name}: the figures of the moment of the scrape, as Prometheus wants them`, async (scene) => {
    const { supervisor, pool } = scene;
    const register = new client.Registry();
    collect(client, { register });
    const before = valuesOf(await register.metrics());
    for (let i = 0; i < 30; i++) await pool.call({ op: 'echo', value: i });
    await pool.applyWithin(() => {}, 21); // Node's timers may be 1 ms early
    const up = next(supervisor, 'up');
    await killed(supervisor, pidAt(pool.pids(), 0));
    await up;
    const text = await register.metrics();
    accepted(text);
    const after = valuesOf(text);
    const gained = (series: string): number => (after.get(series) ?? 0) - (before.get(series) ?? 0);
    const labels = 'supervisor="shop",pool="resize \\"a\\\\b\\""';
    assert.is(gained(`ballermann_pool_sent_messages_total{${labels}}`), 30);
    assert.is(gained(`ballermann_pool_windows_total{${labels}}`), 1);
    const paused = gained(`ballermann_pool_paused_seconds_total{${labels}}`);
    assert.ok(paused >= 0.02 && paused < 5, `${paused}`);
    const histogram = 'ballermann_pool_call_duration_seconds';
    assert.ok(text.includes(`# TYPE ${histogram} histogram\n`));
    for (const series of [`_count{${labels}}`, `_bucket{${labels},le="+Inf"}`, `_bucket{${labels},le="100"}`])
      assert.is(gained(`${histogram}${series}`), 30, series);
    const sum = gained(`${histogram}_sum{${labels}}`);
    assert.ok(sum > 0 && sum < 10, `${sum} s`);
    const restarts = [0, 1].map((index) =>
      gained(`ballermann_replica_restarts_total{supervisor="shop",replica="${index}",reason="signal"}`),
    );
    assert.equal(restarts.sort(), [0, 1]);
    const memory = after.get('ballermann_replica_resident_memory_bytes{supervisor="shop",replica="0"}') ?? 0;
    assert.ok(memory > 2 ** 20, `${memory}`);
    for (const pid of supervisor.children().map((child) => child.pid)) assert.not.match(text, `"${pid}"`);
  });

  exported(`${name}: calling it again for a registry changes nothing, nor does a cleared one`, async () => {
    const register = new client.Registry();
    collect(client, { register });
    collect(client, { register });
    const { size } = valuesOf(await register.metrics());
    register.clear();
    collect(client, { register });
    assert.is(valuesOf(await register.metrics()).size, size);
    const names = (await register.getMetricsAsJSON()).map((metric) => metric.name);
    assert.is(new Set(names).size, names.length);
  });

  exported(`${name}: OpenMetrics`, async () => {
    const register = new client.Registry('application/openmetrics-text; version=1.0.0; charset=utf-8');
    collect(client, { register });
    for (let scrape = 0; scrape < 2; scrape++) {
      const text = await register.metrics();
      assert.ok(text.endsWith('# EOF\n'));
      assert.match(text, /^# TYPE ballermann_pool_windows counter$/m);
      assert.match(text, /^ballermann_pool_windows_total\{/m);
      assert.match(text, /^ballermann_pool_call_duration_seconds_bucket\{/m);
    }
  });

  exported(`${name}: the default registry`, async () => {
    collect(client);
    const text = await client.register.metrics();
    assert.match(text, /^ballermann_supervisor_running\{supervisor="shop"\} 1$/m);
    client.register.clear();
  });
}

exported('the modules and their registries are of the right types', async () => {
  const one = new promClient.Registry();
  collect(promClient, { register: one });
  const other = new prometheusIo.Registry();
  collect(prometheusIo, { register: other });
  assert.ok(
    (await one.metrics()).includes('ballermann_replicas') &&
      (await other.metrics()).includes('ballermann_replicas'),
  );
});

exported('the dashboards and the rules ask for what is exported, and for nothing else', async () => {
  const client = clients['prom-client'] as Client;
  const register = new client.Registry();
  collect(client, { register });
  const known = new Set<string>();
  for (const { name, type } of await register.getMetricsAsJSON()) {
    known.add(name);
    if (type === 'histogram') for (const suffix of ['_bucket', '_sum', '_count']) known.add(name + suffix);
  }
  const files = readdirSync(examples).filter((file) => /\.(json|ya?ml|md)$/.test(file));
  assert.ok(files.length >= 3, `${files}`);
  const asked = new Set<string>();
  for (const file of files) {
    const text = readFileSync(`${examples}/${file}`, 'utf8');
    for (const [name] of text.matchAll(/\bballermann_\w+/g)) {
      assert.ok(known.has(name), `${file}: ${name}`);
      asked.add(name);
    }
    if (file.endsWith('.json')) checkDashboard(JSON.parse(text));
  }
  assert.ok(asked.size > 20, `${asked.size}`);
  const page = readFileSync(`${root}/docs/metrics.md`, 'utf8');
  for (const { name } of await register.getMetricsAsJSON())
    assert.ok(page.includes(`\`${name}\``), `docs: ${name}`);
  for (const [name] of page.matchAll(/\bballermann_\w+/g))
    assert.ok(known.has(name), `docs/metrics.md: ${name}`);
});

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly type: string;
    readonly targets?: readonly { readonly expr: string }[];
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  }[];
}

function checkDashboard({ uid, title, panels }: Dashboard): void {
  assert.ok(uid && title);
  assert.is(new Set(panels.map(({ id }) => id)).size, panels.length, 'ids of panels');
  for (const panel of panels) {
    const { x, w } = panel.gridPos;
    assert.ok(x + w <= 24, panel.title);
    if (panel.type !== 'row') assert.ok((panel.targets?.length ?? 0) > 0, panel.title);
  }
}

exported('Prometheus takes the configuration and the rules of the example', () => {
  const prometheus = parse(readFileSync(`${examples}/prometheus.yml`, 'utf8'));
  assert.is(prometheus.scrape_configs[0].job_name, 'ballermann');
  const checked = spawnSync('promtool', ['check', 'config', `${examples}/prometheus.yml`], {
    encoding: 'utf8',
  });
  if (checked.error !== undefined && !process.env['CI'])
    return console.log('promtool is missing: not checked');
  assert.is(checked.error, undefined);
  assert.is(checked.status, 0, `${checked.stdout}${checked.stderr}`);
});

exported.run();

test('two supervisors of one name are told apart, and a closed one vanishes', async () => {
  const client = clients['prom-client'] as Client;
  const register = new client.Registry();
  const exec = fixture('metrics/replica.mjs');
  const one = await start({ exec, replicas: 1, name: 'twin', log: false });
  const two = await start({ exec, replicas: 1, name: 'twin', log: false });
  try {
    collect(client, { register, supervisors: [one] });
    const names = async () =>
      [...valuesOf(await register.metrics()).keys()].flatMap(
        (series) => /^ballermann_supervisor_running\{supervisor="(.*)"\}$/.exec(series)?.[1] ?? [],
      );
    assert.equal(await names(), ['twin']);
    collect(client, { register, supervisors: new Set([two, one]) });
    assert.equal(await names(), ['twin', 'twin-2']);
    const all = new client.Registry();
    collect(client, { register: all });
    accepted(await all.metrics());
    await one.close();
    assert.equal(await names(), ['twin-2'], 'the other keeps its name');
    await two.close();
    assert.equal(await names(), []);
    accepted(await register.metrics());
  } finally {
    await Promise.all([one.close(), two.close()]);
  }
});

test('a wrong client, registry or supervisor is named at once', async () => {
  const client = clients['prom-client'] as Client;
  const wrong =
    (...args: unknown[]) =>
    () =>
      collect(...(args as Parameters<typeof collect>));
  const type = (message: RegExp) => ({ code: 'ERR_INVALID_ARG_TYPE', name: 'TypeError', message });
  for (const none of [undefined, null, 1, 'prom-client', {}, { Counter: 1 }, new client.Registry()])
    throws(wrong(none), type(/^client must be the module of prom-client or @prometheus-io\/client; got /));
  throws(wrong(import('prom-client')), type(/did you forget await/));
  const withoutRegister = { Counter: client.Counter, Gauge: client.Gauge, Histogram: client.Histogram };
  throws(wrong(withoutRegister), type(/^options\.register must be a registry of the client; got undefined/));
  for (const register of [null, {}, client])
    throws(wrong(client, { register }), type(/^options\.register must be/));
  for (const supervisors of [{}, 1, 'shop', [{}], [undefined]])
    throws(
      wrong(client, { register: new client.Registry(), supervisors }),
      type(/^options\.supervisors must be/),
    );
  throws(wrong(client, { registry: client.register }), type(/registry/));
  const register = new client.Registry();
  new promClient.Gauge({
    name: 'ballermann_pool_paused',
    help: 'of somebody else',
    registers: [register as never],
  });
  throws(wrong(client, { register }), type(/a registry without a metric named ballermann_pool_paused/));
  assert.is((await register.getMetricsAsJSON()).length, 1, 'and nothing is left there');
});

test.run();
