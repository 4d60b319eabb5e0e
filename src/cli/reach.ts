/** Finds the supervisor that a command is for, and connects to it. */

import { ConnectionLost, ControlClient, ControlError, findSupervisors } from '../control/client.js';
import { folders } from '../control/folders.js';
import { CliError, type Context, FailedError, type Flag, NobodyThereError, UsageError } from './command.js';
import { hint } from './did-you-mean.js';
import { duration } from './values.js';

/** Of every command that is for one supervisor. */
export const nameFlag: Flag = {
  type: 'string',
  value: 'NAME',
  help: 'The supervisor, where several are running',
};

export interface Reached {
  readonly name: string;
  /** Of its socket. */
  readonly path: string;
  readonly client: ControlClient;
}

/**
 * @param word the name as it may stand beside the flags.
 * @throws UsageError where several are running and none is named. NobodyThereError.
 */
export async function reach(context: Context, word?: string): Promise<Reached> {
  const wanted = wantedName(context, word);
  const found = await findSupervisors(context.env);
  const fitting = wanted === undefined ? found : found.filter(({ name }) => name === wanted);
  const [one, another] = fitting;
  if (one === undefined) throw nobody(wanted, found, context);
  if (another !== undefined) {
    const which =
      wanted === undefined ? 'say which one, by its name' : 'set XDG_RUNTIME_DIR to the folder of one';
    throw new UsageError(`${fitting.length} supervisors are running: ${which}\n${list(fitting)}`);
  }
  try {
    return { ...one, client: await ControlClient.connect(one.path) };
  } catch (cause) {
    throw new NobodyThereError(`supervisor ${JSON.stringify(one.name)} has just ended`, { cause });
  }
}

/** Runs what asks a supervisor, and hangs up. @throws FailedError for what the supervisor answers no to. */
export async function asking<T>({ client }: Reached, ask: (client: ControlClient) => Promise<T>): Promise<T> {
  try {
    return await ask(client);
  } catch (error) {
    throw toCliError(error);
  } finally {
    client.end();
  }
}

function toCliError(error: unknown): unknown {
  if (error instanceof CliError) return error;
  const isAnswer = error instanceof ControlError || error instanceof ConnectionLost;
  return isAnswer ? new FailedError(error.message, { cause: error }) : error;
}

/** ms; undefined where the flag was not given. @throws UsageError */
export function durationOf({ values }: Context, flag: string): number | undefined {
  const text = values[flag];
  if (text === undefined) return undefined;
  const ms = duration.read(String(text)) as number | undefined;
  if (ms === undefined || ms > 2 ** 31 - 1)
    throw new UsageError(`--${flag} must be ${duration.expected}; got ${JSON.stringify(text)}`);
  return ms;
}

function wantedName({ values, env }: Context, word: string | undefined): string | undefined {
  const flag = values['name'] as string | undefined;
  if (flag !== undefined && word !== undefined && flag !== word)
    throw new UsageError(`two supervisors are named: ${JSON.stringify(word)} and --name ${flag}`);
  return flag ?? word ?? (env['BALLERMANN_NAME'] || undefined);
}

function nobody(wanted: string | undefined, found: readonly { name: string }[], { env }: Context): CliError {
  const places = `Looked in ${folders(env).join(', ')}.`;
  if (wanted === undefined)
    return new NobodyThereError(
      `no supervisor of this user is running with a control socket. ${places}\n` +
        'Start one with `ballermann run SCRIPT`, or with supervise({ control: true }).',
    );
  const names = found.map(({ name }) => name);
  const running = names.length === 0 ? `None is running. ${places}` : `Running: ${names.join(', ')}`;
  return new NobodyThereError(
    `no supervisor named ${JSON.stringify(wanted)} is running${hint(wanted, names)}\n${running}`,
  );
}

function list(found: readonly { name: string; path: string }[]): string {
  return found.map(({ name, path }) => `  ${name}  (${path})`).join('\n');
}
