/** `ballermann run`: supervises a script until it is told to stop or gives up. */

import type { Command, Context } from '../command.js';
import { Voice } from '../log.js';
import { optionFlags } from '../options-list.js';
import { Run } from '../running.js';
import { baseName, scriptPath } from '../script.js';
import { runSettings } from '../settings.js';
import { watching } from '../watching.js';

export const command: Command = {
  name: 'run',
  usage: 'SCRIPT [flags] [-- arguments of the script]',
  summary: 'Runs a server script in several processes, which share its port, and keeps them running',
  examples: [
    { line: 'ballermann run server.js', does: 'one replica for each core' },
    { line: 'ballermann run server.js -n 4', does: 'four replicas' },
    { line: 'ballermann run server.js --watch -n 1', does: 'development: reload on each change' },
    {
      line: 'ballermann run server.js --max-rss 512mb --hang-timeout 30s',
      does: 'replace what grows or hangs',
    },
    { line: 'ballermann run server.js -- --port 3000', does: 'arguments of the script' },
    { line: 'kill -HUP PID', does: 'reload: new code, no request lost' },
  ],
  notes: [
    'SIGTERM and Ctrl-C let running requests finish, then everything ends; a second Ctrl-C does not wait. SIGHUP reloads;',
    'in a terminal, where it means that the terminal has gone, use `ballermann reload`.',
    '',
    'Each flag has an environment variable (--max-rss: BALLERMANN_MAX_RSS) and a key in ballermann.config.js (maxRss).',
    'The flag wins over the variable, and the variable over the file.',
    '',
    'Exit code: 0 after an orderly stop, 1 when it failed, 2 for a wrong option.',
  ],
  flags: optionFlags,
  words: { min: 0, max: 1, names: ['SCRIPT'] },
  takesRest: true,
  completes: 'file',
  unknownFlagHint: 'Arguments of the script stand after --, as in: ballermann run server.js -- --port 3000',
  run,
};

async function run(context: Context): Promise<number> {
  const settings = await runSettings(context);
  const script = scriptPath(settings);
  const voice = new Voice(settings.supervisor.name ?? baseName(script), settings.log, context);
  if (settings.watch) return watching(settings, script, voice);
  return (await new Run(settings, script, voice).untilEnd()).exitCode;
}
