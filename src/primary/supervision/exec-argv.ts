/** The Node options of replicas: which of the primary's own they get, and what they say. */

/** Of these the next argument is the value, unless it follows a `=`. */
const WITH_VALUE = new Set(['-e', '--eval', '--input-type', '--snapshot-blob']);

/** The value of these may be left out. */
const WITH_OPTIONAL_VALUE = new Set(['-p', '--print', '-pe']);

const ALONE = new Set(['-i', '--interactive', '-c', '--check', '--test', '--entry-url']);

/** @param execArgv of a process that may run a text (`node -e`), the standard input or tests instead of a script. */
export function inheritedExecArgv(execArgv: readonly string[]): string[] {
  const inherited: string[] = [];
  for (let i = 0; i < execArgv.length; i++) {
    const argument = execArgv[i] as string;
    const equals = argument.startsWith('--') ? argument.indexOf('=') : -1;
    const option = equals < 0 ? argument : argument.slice(0, equals);
    const isAbout = (options: ReadonlySet<string>): boolean => options.has(option);
    if (isAbout(WITH_VALUE)) i += equals < 0 ? 1 : 0;
    else if (isAbout(WITH_OPTIONAL_VALUE)) i += equals < 0 && hasValue(execArgv[i + 1]) ? 1 : 0;
    else if (!isAbout(ALONE)) inherited.push(argument);
  }
  return inherited;
}

/**
 * Whether a debugger may stop the replicas, as options or environment say: then how long they take to start, or stand still,
 * means nothing.
 */
export function mayBeDebugged(
  execArgv: readonly string[],
  { NODE_OPTIONS = '' }: Readonly<NodeJS.ProcessEnv>,
): boolean {
  return [...execArgv, ...NODE_OPTIONS.split(/\s+/)].some((option) =>
    /^--inspect(-brk|-wait)?(=|$)/.test(option),
  );
}

function hasValue(next: string | undefined): boolean {
  return next !== undefined && !next.startsWith('-');
}
