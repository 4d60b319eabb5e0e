/** What a scrape gets: the metrics that `ballermann/prometheus` exports, in Prometheus' text format 0.0.4, without a client. */

import type { SupervisorMetrics } from '../primary/metrics/supervisor-metrics.js';
import { callDuration, callDurationSamples, families, type Labels } from '../prometheus/families.js';

export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export function exposition(metrics: SupervisorMetrics): string {
  const line = (name: string, labels: Labels, value: number): string =>
    `${name}{${labelsOf({ supervisor: metrics.name, ...labels })}} ${value}\n`;
  let text = '';
  for (const { name, help, type, samples } of families) {
    text += head(name, help, type);
    for (const { labels, value } of samples(metrics)) text += line(name, labels, value);
  }
  text += head(callDuration.name, callDuration.help, 'histogram');
  for (const { metricName, labels, value } of callDurationSamples(metrics))
    text += line(metricName, labels, value);
  return text;
}

function head(name: string, help: string, type: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function labelsOf(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\\n"]/g, escaped)}"`)
    .join(',');
}

function escaped(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`;
}
