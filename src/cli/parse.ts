/** Takes a command line apart by the flags of its command. Its errors name the flag, what came and what is allowed. */

import { parseArgs } from 'node:util';
import { type Command, type Context, type Flag, type Flags, UsageError } from './command.js';
import { hint } from './did-you-mean.js';

type Asked = Pick<Context, 'values' | 'words' | 'rest'>;

export const HELP: Flag = { type: 'boolean', short: 'h', help: 'Show this help' };

/** As people write it: `-n`, `--replicas`; `--no-control` where it is on anyway. */
export function flagNames(name: string, { short, isOnByDefault }: Flag): string[] {
  const long = `--${isOnByDefault === true ? 'no-' : ''}${name}`;
  return short === undefined ? [long] : [`-${short}`, long];
}

/** @throws UsageError */
export function parse(command: Command, args: readonly string[]): Asked & { readonly wantsHelp: boolean } {
  const flags: Flags = { ...command.flags, help: HELP };
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { type, short }]) => [name, { type, ...(short && { short }) }]),
  );
  const { tokens } = parseArgs({
    args: command.takesNegativeNumbers === true ? args.map(hideNumber) : [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const end = tokens.find(({ kind }) => kind === 'option-terminator')?.index ?? args.length;
  const values: Record<string, string | boolean | (string | boolean)[]> = {};
  const words: string[] = [];
  let wantsHelp = false;
  for (const token of tokens) {
    if (token.index >= end) break;
    if (token.kind === 'positional') words.push(token.value.replace(HIDDEN, ''));
    if (token.kind !== 'option') continue;
    const { name, value } = read(command, flags, token);
    if (name === 'help') wantsHelp = true;
    else if (flags[name]?.multiple === true)
      values[name] = [...((values[name] as string[]) ?? []), value] as string[];
    else values[name] = value;
  }
  const rest = end < args.length ? args.slice(end + 1) : undefined;
  if (!wantsHelp) checkWords(command, words, rest);
  return { values, words, rest, wantsHelp };
}

/** No argument of a process has a NUL. */
const HIDDEN = '\0';

/** parseArgs would take -1 for a flag. */
function hideNumber(arg: string): string {
  return /^-\d+$/.test(arg) ? HIDDEN + arg : arg;
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

function read(command: Command, flags: Flags, token: OptionToken): { name: string; value: string | boolean } {
  const rawName = token.rawName;
  const value = token.value?.replace(HIDDEN, '');
  const isNegative = !Object.hasOwn(flags, token.name) && token.name.startsWith('no-');
  const name = isNegative ? token.name.slice(3) : token.name;
  const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
  if (flag === undefined || (isNegative && flag.type !== 'boolean'))
    throw unknownFlag(command, flags, rawName);
  if (flag.type === 'boolean') {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value; got ${JSON.stringify(value)}`);
    return { name, value: !isNegative };
  }
  const expected =
    flag.allowed === undefined
      ? `a value: ${rawName} ${flag.value ?? 'VALUE'}`
      : `one of ${flag.allowed.join(', ')}`;
  if (value === undefined) throw new UsageError(`${rawName} needs ${expected}`);
  if (token.inlineValue === false && /^-./.test(value) && !/^-\d/.test(value))
    throw new UsageError(
      `${rawName} needs ${expected}. If ${value} is that value, write ${rawName}=${value}`,
    );
  if (flag.allowed !== undefined && !flag.allowed.includes(value))
    throw new UsageError(
      `${rawName} must be ${expected}; got ${JSON.stringify(value)}${hint(value, flag.allowed)}`,
    );
  return { name, value };
}

function unknownFlag(command: Command, flags: Flags, rawName: string): UsageError {
  const meant = hint(rawName.replace(/^-+/, ''), Object.keys(flags), '--');
  const further = meant === '' && command.unknownFlagHint !== undefined ? `. ${command.unknownFlagHint}` : '';
  return new UsageError(`${command.name} has no flag ${rawName}${meant}${further}`);
}

function checkWords(command: Command, words: readonly string[], rest: readonly string[] | undefined): void {
  const { min, max, names } = command.words;
  if (words.length < min)
    throw new UsageError(`${command.name} needs ${names.slice(words.length, min).join(' and ')}`);
  if (words.length > max) {
    const extra = JSON.stringify(words[max]);
    const what = max === 0 ? 'no argument' : `no more than ${names.slice(0, max).join(' and ')}`;
    const further = command.unknownFlagHint === undefined ? '' : `. ${command.unknownFlagHint}`;
    throw new UsageError(`${command.name} takes ${what}; got ${extra}${further}`);
  }
  if (rest !== undefined && command.takesRest !== true)
    throw new UsageError(`${command.name} takes nothing after --`);
}
