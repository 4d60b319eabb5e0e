/** The clients of their storm, in a process of their own. It is told by 'end' to stop, and says then how many there were of each. */

import { type Ports, ways } from './clients.js';
import { Random } from './random.js';

export interface Settings {
  readonly ports: Ports;
  readonly seed: number;
  readonly clients: number;
}

const { ports, seed, clients } = JSON.parse(process.argv[2] as string) as Settings;
const figures: Record<string, number> = {};
let isOver = false;

process.once('message', () => {
  isOver = true;
});
process.once('disconnect', () => process.exit());

await Promise.all(
  Array.from({ length: clients }, async (_, i) => {
    const random = new Random(seed, `client ${i}`);
    while (!isOver) {
      const way = random.weighted(Object.keys(ways).map((name) => [name, 1] as const));
      figures[way] = (figures[way] ?? 0) + 1;
      await ways[way]?.(random, ports);
    }
  }),
);
process.send?.(figures);
