/** `ballermann stop`: ends a supervisor and its process. */

import type { Command, Context } from '../command.js';
import { EXIT } from '../command.js';
import { asking, nameFlag, reach } from '../reach.js';

export const command: Command = {
  name: 'stop',
  usage: '[NAME] [flags]',
  summary: 'Stops a supervisor in order: every replica finishes what it is doing, then the process exits',
  examples: [
    { line: 'ballermann stop', does: 'the only supervisor that is running' },
    { line: 'ballermann stop shop', does: 'the one named shop' },
  ],
  flags: { name: nameFlag },
  words: { min: 0, max: 1, names: ['NAME'] },
  notes: [
    'It does what SIGTERM to the process does, and returns when the process ends. A replica that does not',
    'stop within the option `shutdown` is killed; the command says so.',
  ],
  run,
};

async function run(context: Context): Promise<number> {
  const { stdout, stderr, words } = context;
  const reached = await reach(context, words[0]);
  await asking(reached, async (client) => {
    const { killed, exits } = await client.ask({ verb: 'stop' });
    if (killed) stderr.write('ballermann: a replica did not stop in time and was killed\n');
    if (exits) await client.ended;
  });
  stdout.write(`stopped ${reached.name}\n`);
  return EXIT.ok;
}
