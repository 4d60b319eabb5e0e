/** `ballermann/prometheus`: exports metrics() by a client library for Prometheus, which the application brings. */

import { badType, checkOptions } from './arguments.js';
import type { SupervisorMetrics } from './primary/metrics/supervisor-metrics.js';
import { supervisors as all, type Measured } from './primary/metrics/supervisors.js';
import {
  callDuration,
  callDurationSamples,
  type Family,
  families,
  type HistogramSample,
  type Labels,
} from './prometheus/families.js';

/** A registry of the client. */
export interface PrometheusRegistry {
  registerMetric(metric: never): void;
  getSingleMetric(name: string): unknown;
}

/** The module of prom-client or of @prometheus-io/client. */
export interface PrometheusClient {
  /** Its default registry. */
  readonly register: PrometheusRegistry;
  readonly Counter: new (configuration: never) => object;
  readonly Gauge: new (configuration: never) => object;
  readonly Histogram: new (configuration: never) => object;
}

export interface CollectOptions {
  /** The registry that the metrics go to. @default the client's own, `client.register` */
  register?: PrometheusRegistry;
  /** The supervisors that are exported. @default all of this process, those that start later included */
  supervisors?: Iterable<{ metrics(): SupervisorMetrics }>;
}

/** A metric as this module makes and fills it. */
interface Metric {
  readonly name: string;
  readonly help: string;
  reset(): void;
  set(labels: Labels, value: number): void;
  inc(labels: Labels, value: number): void;
}

type MetricClass = new (configuration: {
  name: string;
  help: string;
  labelNames: readonly string[];
  registers: readonly PrometheusRegistry[];
  collect?: () => void;
}) => Metric;

const CLASSES = ['Counter', 'Gauge', 'Histogram'] as const;

const collections = new WeakMap<PrometheusRegistry, Collection>();

/**
 * Exports the metrics of supervisors. They are read when the registry is: nothing is done between two scrapes. A supervisor
 * that is closed is no longer exported. Calling it again for the same registry adds supervisors. Of two supervisors with the
 * same name, the second has the label `supervisor="NAME-2"`.
 *
 * Works in the primary. In a replica there is no supervisor, and so nothing is exported.
 * @param client the module of prom-client or of @prometheus-io/client.
 * @throws TypeError if the client or an option is none, or if the registry has a metric of one of these names already.
 */
export function collect(client: PrometheusClient, options: CollectOptions = {}): void {
  const isClient = (typeof client === 'object' || typeof client === 'function') && client !== null;
  if (!isClient || !CLASSES.every((name) => typeof client[name] === 'function'))
    throw badType('client', 'the module of prom-client or @prometheus-io/client', client);
  checkOptions('options', options, ['register', 'supervisors']);
  const { register = client.register, supervisors } = options;
  if (!isRegistry(register)) throw badType('options.register', 'a registry of the client', register);
  const added = supervisors && checkSupervisors(supervisors);
  let collection = collections.get(register);
  if (!collection?.isIn(register)) {
    collection = new Collection(client, register);
    collections.set(register, collection);
  }
  collection.add(added);
}

function isRegistry(register: unknown): register is PrometheusRegistry {
  if (typeof register !== 'object' || register === null) return false;
  const { registerMetric, getSingleMetric } = register as Record<string, unknown>;
  return typeof registerMetric === 'function' && typeof getSingleMetric === 'function';
}

function checkSupervisors(supervisors: Iterable<Measured>): Measured[] {
  const name = 'options.supervisors';
  if (typeof supervisors !== 'object' || supervisors === null || !(Symbol.iterator in supervisors))
    throw badType(name, 'an array of supervisors', supervisors);
  const list = [...supervisors];
  for (const supervisor of list)
    if (typeof supervisor?.metrics !== 'function') throw badType(name, 'an array of supervisors', supervisor);
  return list;
}

/** Our metrics in one registry, and the supervisors whose figures they show. */
class Collection {
  readonly #sources = new Set<Measured>();
  #isAll = false;
  readonly #names = new WeakMap<Measured, string>();
  readonly #metrics: readonly Metric[];
  /** Of this scrape: all metrics of a registry are read in one turn. */
  #snapshots: readonly SupervisorMetrics[] | undefined;

  /** @throws TypeError where the registry has a metric of that name. */
  constructor(client: PrometheusClient, register: PrometheusRegistry) {
    for (const { name } of [...families, callDuration])
      if (register.getSingleMetric(name) !== undefined)
        throw badType('options.register', `a registry without a metric named ${name}`, register);
    this.#metrics = [
      ...families.map((family) => this.#make(client, register, family)),
      this.#makeHistogram(client, register),
    ];
  }

  /** Whether the registry still has them: it may have been cleared. */
  isIn(register: PrometheusRegistry): boolean {
    return this.#metrics.every((metric) => register.getSingleMetric(metric.name) === metric);
  }

  /** @param supervisors undefined: all that there are, whenever. */
  add(supervisors: readonly Measured[] | undefined): void {
    if (supervisors === undefined) this.#isAll = true;
    for (const supervisor of supervisors ?? []) this.#sources.add(supervisor);
  }

  #make(client: PrometheusClient, register: PrometheusRegistry, family: Family): Metric {
    const { type, name, help, labels, samples } = family;
    const Class = (type === 'counter' ? client.Counter : client.Gauge) as unknown as MetricClass;
    const metric = new Class({
      name,
      help,
      labelNames: ['supervisor', ...labels],
      registers: [register],
      collect: () => {
        metric.reset();
        for (const snapshot of this.#read())
          for (const { labels: own, value } of samples(snapshot))
            metric[type === 'counter' ? 'inc' : 'set']({ supervisor: snapshot.name, ...own }, value);
      },
    });
    return metric;
  }

  /** The clients' histograms take single observations alone, and these are counted already: so it says what it has itself. */
  #makeHistogram(client: PrometheusClient, register: PrometheusRegistry): Metric {
    const { name, help, labels } = callDuration;
    const Histogram = client.Histogram as unknown as MetricClass;
    const histogram = new Histogram({ name, help, labelNames: ['supervisor', ...labels], registers: [] });
    const get = async (): Promise<object> => {
      const values: HistogramSample[] = this.#read().flatMap((snapshot) =>
        callDurationSamples(snapshot).map((sample) => ({
          ...sample,
          labels: { supervisor: snapshot.name, ...sample.labels },
        })),
      );
      return { name, help, type: 'histogram', aggregator: 'sum', values };
    };
    Object.assign(histogram, { get, getForPromString: get });
    register.registerMetric(histogram as never);
    return histogram;
  }

  /** Each with a name that no other has. */
  #read(): readonly SupervisorMetrics[] {
    if (this.#snapshots === undefined) {
      queueMicrotask(() => {
        this.#snapshots = undefined;
      });
      const sources = new Set([...this.#sources, ...(this.#isAll ? all : [])]);
      const read = [...sources].map((source) => ({ source, metrics: source.metrics() }));
      const present = read.filter(({ metrics }) => !isGone(metrics));
      this.#nameAll(present);
      this.#snapshots = present.map(({ source, metrics }) => ({
        ...metrics,
        name: this.#names.get(source) as string,
      }));
      for (const { source, metrics } of read) if (isGone(metrics)) this.#sources.delete(source);
    }
    return this.#snapshots;
  }

  /** For as long as it lives: the figures of one must not become another's when that is closed. */
  #nameAll(present: readonly { readonly source: Measured; readonly metrics: SupervisorMetrics }[]): void {
    const taken = new Set(present.map(({ source }) => this.#names.get(source)));
    for (const { source, metrics } of present) {
      if (this.#names.has(source)) continue;
      let name = metrics.name;
      for (let number = 2; taken.has(name); number++) name = `${metrics.name}-${number}`;
      taken.add(name);
      this.#names.set(source, name);
    }
  }
}

function isGone({ state, replicas }: SupervisorMetrics): boolean {
  return state === 'closed' || (state === 'failed' && replicas.length === 0);
}
