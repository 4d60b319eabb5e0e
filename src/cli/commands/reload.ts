/** `ballermann reload`: replaces all replicas. */

import type { Command, Context } from '../command.js';
import { EXIT, UsageError } from '../command.js';
import { asking, nameFlag, reach } from '../reach.js';

export const command: Command = {
  name: 'reload',
  usage: '[NAME] [flags]',
  summary:
    'Replaces all replicas, each by a new one that is ready before the old one goes. No request is lost',
  examples: [
    { line: 'ballermann reload', does: 'the only supervisor that is running' },
    {
      line: 'ballermann reload shop --max-unavailable 2',
      does: 'the one named shop, two replicas at a time',
    },
  ],
  flags: {
    name: nameFlag,
    'max-unavailable': { type: 'string', value: 'N', help: 'How many replicas are replaced at a time (1)' },
  },
  words: { min: 0, max: 1, names: ['NAME'] },
  notes: [
    'If a new replica does not get ready, the reload stops there and fails: exit code 1. Old replicas that are',
    'left stay. The supervisor goes on with a reload even if this command is interrupted.',
  ],
  run,
};

async function run(context: Context): Promise<number> {
  const { stdout, stderr, values, words } = context;
  const given = values['max-unavailable'];
  if (given !== undefined && !/^0*[1-9]\d*$/.test(String(given)))
    throw new UsageError(
      `--max-unavailable must be a whole number of at least 1; got ${JSON.stringify(given)}`,
    );
  const maxUnavailable = given === undefined ? {} : { maxUnavailable: Number(given) };
  const reached = await reach(context, words[0]);
  const begin = performance.now();
  let replaced = 0;
  await asking(reached, (client) =>
    client.ask({ verb: 'reload', ...maxUnavailable }, (event) => {
      if (event.event !== 'progress') return;
      replaced = event.done;
      if (stderr.isTTY) stderr.write(`\rreplaced ${event.done} of ${event.of} replicas`);
    }),
  ).finally(() => {
    if (stderr.isTTY && replaced > 0) stderr.write('\n');
  });
  const seconds = ((performance.now() - begin) / 1_000).toFixed(1);
  stdout.write(`reloaded ${reached.name}: ${replaced} replicas in ${seconds} s\n`);
  return EXIT.ok;
}
