/** Which commands there are. Each is a module of its own, which is loaded when it is asked for. */

import type { Command } from './command.js';

/** In the order in which --help lists them. */
export const commands = {
  run: 'Run a server script on all cores, and keep it running',
  status: 'Show the replicas and pools of a running supervisor',
  reload: 'Replace all replicas one by one, without losing a request',
  scale: 'Change the number of replicas',
  window: 'Run a command while no replica works',
  stop: 'Stop a supervisor in order',
  completion: 'Print the completion script for bash or zsh',
} as const;

export type CommandName = keyof typeof commands;

export function isCommand(name: string): name is CommandName {
  return Object.hasOwn(commands, name);
}

export async function loadCommand(name: CommandName): Promise<Command> {
  const module = (await import(`./commands/${name}.js`)) as { command: Command };
  return module.command;
}
