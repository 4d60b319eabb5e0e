/** The texts of --help: what people copy comes first. */

import type { Command, Flag } from './command.js';
import { commands } from './commands.js';
import { flagNames, HELP } from './parse.js';

export function generalHelp(): string {
  const names = Object.entries(commands);
  return `ballermann runs a Node server on all cores, keeps it running, and reloads it without losing a request.

  npx ballermann run server.js           one replica for each core
  npx ballermann run server.js -n 4      four replicas
  npx ballermann status                  who is up, and what they do
  npx ballermann reload                  new code, no request lost

Commands
${table(names)}

Flags
${table([
  ['-h, --help', 'Show this help; after a command, that of the command'],
  ['-v, --version', 'Show the version'],
])}

ballermann COMMAND --help says more about a command.
`;
}

export function commandHelp(command: Command): string {
  const { name, usage, summary, examples, notes = [] } = command;
  const parts = [`${summary}.`, `Usage: ${`ballermann ${name} ${usage}`.trimEnd()}`];
  if (examples.length > 0) parts.push(table(examples.map(({ line, does }) => [line, does])));
  for (const [group, flags] of groups(command))
    parts.push(`${group}\n${table(flags.map(([flagName, flag]) => [flagText(flagName, flag), flag.help]))}`);
  for (const paragraph of paragraphs(notes)) parts.push(wrap(paragraph, WIDTH).join('\n'));
  return `${parts.join('\n\n')}\n`;
}

function flagText(name: string, flag: Flag): string {
  const shown = flag.value ?? flag.allowed?.join('|');
  const names = flagNames(name, flag).join(', ');
  return `${flag.short === undefined ? '    ' : ''}${names}${shown === undefined ? '' : ` ${shown}`}`;
}

/** An empty line parts them. */
function paragraphs(notes: readonly string[]): string[] {
  const texts = notes.map((line) => (line === '' ? '\n' : line)).join(' ');
  return texts
    .split('\n')
    .map((text) => text.trim())
    .filter((text) => text !== '');
}

function groups({ flags }: Command): Map<string, [string, Flag][]> {
  const found = new Map<string, [string, Flag][]>();
  for (const [name, flag] of [...Object.entries(flags), ['help', HELP] as [string, Flag]]) {
    const group = flag.group ?? 'Flags';
    found.set(group, [...(found.get(group) ?? []), [name, flag]]);
  }
  return found;
}

const WIDTH = 80;

/** Two columns; what is too long for the line goes on below, indented. */
function table(rows: readonly (readonly [string, string])[]): string {
  const left = Math.min(32, Math.max(...rows.map(([first]) => first.length)));
  return rows
    .map(([first, second]) => {
      const indent = ' '.repeat(left + 4);
      const text = wrap(second, WIDTH - left - 4).join(`\n${indent}`);
      return first.length > left ? `  ${first}\n${indent}${text}` : `  ${first.padEnd(left)}  ${text}`;
    })
    .join('\n');
}

function wrap(text: string, width: number): string[] {
  const result: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      result.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...result, line];
}
