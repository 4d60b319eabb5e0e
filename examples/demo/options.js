/** The knobs of the demo: their defaults, their checks, and the help text. */

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

const DEFAULTS = { replicas: Math.max(4, availableParallelism()), seconds: 20, ratio: 0.7 };

const HELP = `Usage: npm start -- [--replicas n] [--seconds s] [--ratio r]

Forks replicas that hash real text, keeps 32 calls in flight through a pool over them, and shows how the pool
hands out, what becomes of the calls of a replica that is killed, when replacements come in, and a maintenance
window under load. Every answer is checked. Ends by itself.

  --replicas n  how many replicas, 2 to 64 (default here: ${DEFAULTS.replicas})
  --seconds s   how long the whole takes, about; 6 to 55 (default: ${DEFAULTS.seconds})
  --ratio r     part of the replicas that must be alive, or the pool takes all replacements in;
                above 1/replicas, up to 1 (default: ${DEFAULTS.ratio})
  --help        this text

Exit code: 0; 1 where an answer was wrong, a call was lost or something else was not as it should be; 2 for a
knob that cannot be used.`;

/** The knobs. Ends the process where help was asked for or a knob cannot be used. */
export function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        replicas: { type: 'string' },
        seconds: { type: 'string' },
        ratio: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) {
      console.log(HELP);
      process.exit(0);
    }
    return checked(values);
  } catch (error) {
    console.error(`demo: ${error.message}\nSee: npm start -- --help`);
    process.exit(2);
  }
}

function checked(values) {
  const replicas = number('replicas', values.replicas, 'a whole number from 2 to 64', (n) => {
    return Number.isInteger(n) && n >= 2 && n <= 64;
  });
  const seconds = number('seconds', values.seconds, 'a number from 6 to 55', (n) => n >= 6 && n <= 55);
  const least = 1 / replicas;
  const range = `a number above 1/replicas (here ${least.toFixed(3)}) and up to 1`;
  const ratio = number('ratio', values.ratio, range, (n) => n > least && n <= 1);
  return { replicas, seconds, ratio };
}

function number(name, text, expected, fits) {
  const value = text === undefined ? DEFAULTS[name] : Number(text);
  if (text?.trim() !== '' && fits(value)) return value;
  throw new Error(`--${name} must be ${expected}, not '${text ?? value}'`);
}
