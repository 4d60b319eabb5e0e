/** What the commands of the benches have in common: their options, and how they tell how far they are. */

import { parseArgs } from 'node:util';

export interface Options {
  readonly quick: boolean;
  readonly markdown: boolean;
  /** Names of what is to be measured; undefined: everything. */
  readonly only: string[] | undefined;
}

/** @param command as npm knows it, for the usage line. Bad options end the process with exit code 2. */
export function options(command: string): Options {
  const flag = { type: 'boolean', default: false } as const;
  try {
    const known = { quick: flag, markdown: flag, only: { type: 'string' } } as const;
    const { values } = parseArgs({ options: known });
    return { quick: values.quick, markdown: values.markdown, only: values.only?.split(',') };
  } catch (error) {
    const usage = `Usage: npm run ${command} -- [--quick] [--markdown] [--only name,name]`;
    console.error(`bench: ${(error as Error).message}. ${usage}`);
    process.exit(2);
  }
}

/** One line on a terminal, in the place of the one before. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
