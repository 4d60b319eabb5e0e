/** What the commands of the storm and of the soak have in common: numbers as options, and an end at any time. */

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

/** ms for an orderly end. */
const PATIENCE = 10_000;

type Numbers = Record<string, number>;

/** @param defaults each option's name and default. Bad options end the process with exit code 2. */
export function numbers<Options extends Numbers>(command: string, defaults: Options): Options {
  try {
    const options = Object.fromEntries(
      Object.keys(defaults).map((name) => [name, { type: 'string' }] as const),
    );
    const { values } = parseArgs({ options });
    const given = Object.entries(values).map(([name, text]) => [name, positive(name, String(text))]);
    return { ...defaults, ...Object.fromEntries(given) };
  } catch (error) {
    const usage = Object.entries(defaults).map(([name, value]) => `[--${name} ${value}]`);
    console.error(`${command}: ${(error as Error).message}`);
    console.error(`Usage: npm run ${command} -- ${usage.join(' ')}`);
    process.exit(2);
  }
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new RangeError(`--${name}: expected a number above 0, got ${text}`);
}

/**
 * Runs `work` to its end, which comes at SIGINT, SIGTERM, an uncaught error or after `ms` as well: `scene` is ended then
 * in an orderly way, and the exit code is not 0.
 * @param hint says how to run it again.
 */
export async function run(
  work: () => Promise<void>,
  endScene: () => Promise<void>,
  ms: number,
  hint: string,
) {
  const cut = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => reject(new Error(`ended by ${signal}`)));
    process.on('uncaughtException', (error) => reject(error));
    setTimeout(() => reject(new Error(`not done after ${ms / 1_000} s`)), ms).unref();
  });
  try {
    await Promise.race([work(), cut]);
  } catch (error) {
    console.log(`FAILED: ${(error as Error).stack}`);
    console.log(hint);
    console.log('0 passed, 1 failed');
    process.exitCode = 1;
  }
  await Promise.race([endScene(), sleep(PATIENCE)]);
  process.exit(); // replicas end with it, whatever they do
}
