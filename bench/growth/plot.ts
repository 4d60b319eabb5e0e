/** Draws docs/growth-*.svg from what `npm run bench:growth` has written. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { installPeers } from '../install.js';
import { peer } from '../peers.js';
import type { GrowthResult } from './main.js';

interface Vega {
  readonly parse: (spec: unknown) => unknown;
  readonly View: new (flow: unknown, options: object) => { toSVG(): Promise<string> };
}

const home = new URL('../../../', import.meta.url);
const source = new URL('bench/results-growth.json', home);
if (!existsSync(source)) {
  console.error('bench: nothing to draw yet: run npm run bench:growth first');
  process.exit(1);
}
installPeers();
const compile = await peer<(spec: object) => { spec: unknown }>('vega-lite', 'compile');
const parse = await peer<Vega['parse']>('vega', 'parse');
const View = await peer<Vega['View']>('vega', 'View');

const { results } = JSON.parse(readFileSync(source, 'utf8')) as { results: GrowthResult[] };
for (const result of results) {
  const { spec } = compile(chart(result));
  const svg = await new View(parse(spec), { renderer: 'none' }).toSVG();
  const file = `docs/growth-${result.growing}.svg`;
  writeFileSync(new URL(file, home), `${svg}\n`);
  console.log(file);
}

/** Calls a second beside memory, over what grows. */
function chart({ growing, title, points }: GrowthResult): object {
  const isWide = growing === 'message-size'; // calls/s over several powers of ten
  const label = (value: number): string => (isWide ? bytes(value) : count(value));
  const x = {
    field: 'x',
    type: 'ordinal', // the points lie about evenly on a logarithmic scale
    sort: null,
    title,
    axis: { labelAngle: 0 },
  };
  const calls = {
    data: { values: points.map(({ x, perSecond }) => ({ x: label(x), perSecond })) },
    mark: { type: 'line', point: true, color: '#1f5fa8' },
    encoding: {
      x,
      y: {
        field: 'perSecond',
        type: 'quantitative',
        title: 'calls a second',
        scale: isWide ? { type: 'log', nice: true } : { zero: true },
        axis: { format: '~s', ...(isWide ? { values: [1, 10, 100, 1e3, 1e4, 1e5] } : { tickCount: 5 }) },
      },
    },
  };
  const memory = {
    data: {
      values: points.flatMap((point) => [
        { x: label(point.x), process: 'primary', megabytes: point.primaryRss / 1e6 },
        { x: label(point.x), process: 'a replica', megabytes: point.replicaRss / 1e6 },
      ]),
    },
    mark: { type: 'line', point: true },
    encoding: {
      x,
      y: { field: 'megabytes', type: 'quantitative', title: 'resident memory, MB', axis: { tickCount: 5 } },
      color: {
        field: 'process',
        type: 'nominal',
        sort: ['primary', 'a replica'],
        scale: { range: ['#1f5fa8', '#d1772c'] },
        legend: { title: null, orient: 'top-left', offset: 4 },
      },
    },
  };
  const size = { width: 330, height: 170 };
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 8,
    resolve: { legend: { color: 'independent' } },
    hconcat: [
      { ...size, ...calls },
      { ...size, ...memory },
    ],
  };
}

function count(number: number): string {
  return number < 10_000 ? number.toLocaleString('en-US') : `${Math.round(number / 1000)}k`;
}

function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  return count < 2 ** 20 ? `${count / 1024} KiB` : `${count / 2 ** 20} MiB`;
}
