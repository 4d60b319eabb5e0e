/** `ballermann scale`: changes the number of replicas. */

import type { Command, Context } from '../command.js';
import { EXIT, UsageError } from '../command.js';
import { asking, nameFlag, reach } from '../reach.js';

export const command: Command = {
  name: 'scale',
  usage: 'N|+N|-N [NAME] [flags]',
  summary: 'Changes the number of replicas. Those that go finish what they are doing first',
  examples: [
    { line: 'ballermann scale 8', does: 'eight replicas' },
    { line: 'ballermann scale +2', does: 'two more' },
    { line: 'ballermann scale -1 shop', does: 'one fewer, of the supervisor named shop' },
  ],
  flags: { name: nameFlag },
  words: { min: 1, max: 2, names: ['N', 'NAME'] },
  takesNegativeNumbers: true,
  run,
};

async function run(context: Context): Promise<number> {
  const [number = '', name] = context.words;
  const isRelative = /^[+-]/.test(number);
  if (!/^[+-]?\d{1,9}$/.test(number))
    throw new UsageError(`scale needs a number such as 8, +2 or -1; got ${JSON.stringify(number)}`);
  const reached = await reach(context, name);
  const { from, to } = await asking(reached, (client) =>
    client.ask({ verb: 'resize', ...(isRelative ? { by: Number(number) } : { replicas: Number(number) }) }),
  );
  context.stdout.write(`scaled ${reached.name} from ${from} to ${to} replicas\n`);
  return EXIT.ok;
}
