/** Finds the command that was asked for, runs it, and says how it ended. */

import { existsSync } from 'node:fs';
import { packageVersion } from '../package-files.js';
import { CliError, EXIT, type Terminal, UsageError } from './command.js';
import { commands, isCommand, loadCommand } from './commands.js';
import { hint } from './did-you-mean.js';
import { commandHelp, generalHelp } from './help.js';
import { parse } from './parse.js';

/** @param args what stands after `ballermann`. @returns the exit code. Never rejects. */
export async function dispatch(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await run(args, terminal);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    terminal.stderr.write(`ballermann: ${error.message}\n${pointer(error, args)}`);
    return error.exitCode;
  }
}

async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...others] = args;
  const { stdout, stderr } = terminal;
  switch (name) {
    case undefined:
      stderr.write(generalHelp());
      return EXIT.usage;
    case '--help':
    case '-h':
      return write(stdout, generalHelp());
    case '--version':
    case '-v':
      return write(stdout, `${packageVersion()}\n`);
    case 'help':
      return others[0] === undefined ? write(stdout, generalHelp()) : run([others[0], '--help'], terminal);
  }
  if (!isCommand(name)) throw noCommand(name);
  const command = await loadCommand(name);
  const { wantsHelp, ...asked } = parse(command, others);
  if (wantsHelp) return write(stdout, commandHelp(command));
  return command.run({ ...terminal, ...asked });
}

function write(stream: NodeJS.WriteStream, text: string): number {
  stream.write(text);
  return EXIT.ok;
}

function noCommand(name: string): UsageError {
  if (name.startsWith('-')) {
    const meant = hint(name.replace(/^-+/, ''), ['help', 'version'], '--');
    const place =
      meant === '' ? '. Flags stand after the command, as in: ballermann run server.js -n 2' : meant;
    return new UsageError(`there is no flag ${name}${place}`);
  }
  if (/\.[mc]?[jt]s$/.test(name) || existsSync(name))
    return new UsageError(`there is no command ${name}. To run a script: ballermann run ${name}`);
  return new UsageError(`there is no command ${name}${hint(name, Object.keys(commands))}`);
}

function pointer(error: CliError, [name]: readonly string[]): string {
  if (!(error instanceof UsageError)) return '';
  const of = name !== undefined && isCommand(name) ? ` ${name}` : '';
  return `ballermann${of} --help shows how it is used.\n`;
}
