/** What a command of `ballermann` is made of, what it gets to run with, and the errors by which it ends early. */

/** What a process is to a command. Tests pass their own. */
export interface Terminal {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A flag, as parseArgs takes it and as --help and the completion of a shell show it. */
export interface Flag {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly multiple?: boolean;
  /** What stands for its value in --help, such as `N` or `SECONDS`. */
  readonly value?: string;
  /** The values there are, for a flag that takes no other. A different one is an error. */
  readonly allowed?: readonly string[];
  /** What the value names, so that a shell completes it. */
  readonly completes?: 'file' | 'folder';
  /** One line that says what it does. */
  readonly help: string;
  /** A boolean that is true unless `--no-…` says otherwise, which is then what --help shows. */
  readonly isOnByDefault?: boolean;
  /** The heading in --help that it stands under. @default 'Flags' */
  readonly group?: string;
}

export type Flags = Readonly<Record<string, Flag>>;

export interface Example {
  readonly line: string;
  readonly does: string;
}

/** A module of src/cli/commands exports one, as `command`. */
export interface Command {
  readonly name: string;
  /** What stands after the name in the first line of --help, such as `SCRIPT [flags] [-- args]`. */
  readonly usage: string;
  /** One sentence that says what it does, without its full stop. */
  readonly summary: string;
  /** Further lines of --help, after the flags. */
  readonly notes?: readonly string[];
  readonly examples: readonly Example[];
  /** `--help` and `-h` are there for every command. */
  readonly flags: Flags;
  /** How many words may stand beside the flags, and what they are called in an error. */
  readonly words: { readonly min: number; readonly max: number; readonly names: readonly string[] };
  /** Whether it takes what stands after `--`. @default false */
  readonly takesRest?: boolean;
  /** What the words are, so that a shell completes them. */
  readonly completes?: 'file' | 'folder' | readonly string[];
  /** Whether a word such as -1 is a number, and no flag. @default false */
  readonly takesNegativeNumbers?: boolean;
  /** Says what somebody may have meant with a flag that the command does not have, where it is known better than by spelling. */
  readonly unknownFlagHint?: string;
  /** @returns the exit code. */
  run(context: Context): Promise<number>;
}

/** What was asked of a command. */
export interface Context extends Terminal {
  /** By the name of the flag. What was not given is not there. */
  readonly values: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;
  /** What stands beside the flags, before `--`. */
  readonly words: readonly string[];
  /** What stands after `--`; undefined where there is no `--`. */
  readonly rest: readonly string[] | undefined;
}

/** The exit codes of `ballermann`. A command may have further ones: `window` passes on that of its program. */
export const EXIT = { ok: 0, failed: 1, usage: 2, nobodyThere: 3 } as const;

/** An end with a text for people and an exit code, without a stack. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** The command line is wrong: exit code 2, and a pointer to --help. */
export class UsageError extends CliError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, EXIT.usage, options);
  }
}

/** What was asked for was tried and did not work: exit code 1. */
export class FailedError extends CliError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, EXIT.failed, options);
  }
}

/** No supervisor answers there: exit code 3. */
export class NobodyThereError extends CliError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, EXIT.nobodyThere, options);
  }
}
