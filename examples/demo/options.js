/** The knobs of the demo: their defaults, their checks, and the help text. */

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

const DEFAULTS = { replicas: Math.max(4, availableParallelism()), clients: 64, seconds: 20 };

const HELP = `Usage: npm start -- [--replicas n] [--clients n] [--seconds s]

Runs an HTTP server in several replicas, under load from a process of its own, and shows how connections are spread,
what a kill costs, a maintenance window and a reload in which no request fails, a reload to a broken build, and an
orderly end. Every answer is checked. Ends by itself.

  --replicas n  how many replicas, 2 to 64 (default here: ${DEFAULTS.replicas})
  --clients n   how many clients, each with a request in flight, 2 to 512 (default: ${DEFAULTS.clients})
  --seconds s   how long the whole takes, about; 6 to 55 (default: ${DEFAULTS.seconds})
  --help        this text

The last line says how many requests there were and how many failed. Those that were running in the replica that is
killed have a figure of their own, and are asked again.

Exit code: 0; 1 where a request failed or something else was not as it should be; 2 for a knob that cannot be used;
130 after Ctrl-C.`;

/** The knobs. Ends the process where help was asked for or a knob cannot be used. */
export function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        replicas: { type: 'string' },
        clients: { type: 'string' },
        seconds: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) {
      console.log(HELP);
      process.exit(0);
    }
    return {
      replicas: number('replicas', values.replicas, 2, 64, Number.isInteger),
      clients: number('clients', values.clients, 2, 512, Number.isInteger),
      seconds: number('seconds', values.seconds, 6, 55),
    };
  } catch (error) {
    console.error(`demo: ${error.message}\nSee: npm start -- --help`);
    process.exit(2);
  }
}

function number(name, text, least, most, fits = Number.isFinite) {
  const value = text === undefined ? DEFAULTS[name] : Number(text);
  if (text?.trim() !== '' && fits(value) && value >= least && value <= most) return value;
  const kind = fits === Number.isInteger ? 'a whole number' : 'a number';
  throw new Error(`--${name} must be ${kind} from ${least} to ${most}, not '${text}'`);
}
