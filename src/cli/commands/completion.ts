/** `ballermann completion`: prints what a shell needs to complete commands and flags. */

import { type Command, type Context, EXIT, UsageError } from '../command.js';
import { commands, loadCommand } from '../commands.js';
import { bashCompletion, zshCompletion } from '../completion.js';

const SHELLS = { bash: bashCompletion, zsh: zshCompletion } as const;

export const command: Command = {
  name: 'completion',
  usage: 'bash|zsh',
  summary: 'Prints the script by which bash or zsh completes commands and flags',
  examples: [
    { line: 'source <(ballermann completion bash)', does: 'in this bash' },
    { line: 'source <(ballermann completion zsh)', does: 'in this zsh, after compinit' },
  ],
  notes: ['The first lines of the script say how to have it in each shell.'],
  flags: {},
  words: { min: 1, max: 1, names: ['the shell: bash or zsh'] },
  completes: ['bash', 'zsh'],
  run,
};

async function run({ words, stdout }: Context): Promise<number> {
  const [shell] = words;
  if (shell !== 'bash' && shell !== 'zsh')
    throw new UsageError(`completion is there for bash and zsh; got ${JSON.stringify(shell)}`);
  const all = await Promise.all(
    Object.keys(commands).map((name) => loadCommand(name as keyof typeof commands)),
  );
  stdout.write(SHELLS[shell](all));
  return EXIT.ok;
}
