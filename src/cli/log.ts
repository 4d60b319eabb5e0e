/** How `run` writes what its supervisor logs: lines for people, or JSON as pino writes it. */

import { hostname } from 'node:os';
import { toErrorData } from '../errors.js';
import type { Level, Logger } from '../primary/supervision/log.js';
import type { Terminal } from './command.js';
import type { RunSettings } from './settings.js';

/** What `run` itself says, beside what its supervisor logs, to the same place. */
export class Voice {
  /** The option `log` of supervise. */
  readonly log: Logger | false;
  readonly #supervisor: string;
  readonly #stderr: Terminal['stderr'];

  constructor(supervisor: string, log: RunSettings['log'], context: Terminal) {
    this.#supervisor = supervisor;
    this.#stderr = context.stderr;
    this.log = loggerOf(log, context);
  }

  /** Errors are said in any case: nobody is to search for why a process has ended. */
  say(level: Level, text: string): void {
    const supervisor = this.#supervisor;
    const line = `ballermann: ${supervisor}: ${text}`;
    if (this.log !== false) this.log[level]({ supervisor }, line);
    else if (level === 'error') this.#stderr.write(`${line}\n`);
  }
}

function loggerOf(log: RunSettings['log'], context: Terminal): Logger | false {
  switch (log) {
    case 'text':
      return textLogger(context);
    case 'json':
      return jsonLogger(context);
    case 'silent':
      return false;
    default:
      return log;
  }
}

/** Lines on stderr, also of what goes well: whoever runs a server by hand wants to see that it is up. */
function textLogger({ stderr }: Pick<Terminal, 'stderr'>): Logger {
  const write = (_fields: object, text: string): void => void stderr.write(`${text}\n`);
  return { info: write, warn: write, error: write };
}

/** pino's numbers. */
const LEVELS: Readonly<Record<Level, number>> = { info: 30, warn: 40, error: 50 };

/** An object a line on stdout, where servers that use pino write as well. */
function jsonLogger({ stdout }: Pick<Terminal, 'stdout'>): Logger {
  const host = hostname();
  const write =
    (level: number) =>
    (fields: object, msg: string): void => {
      const line = { level, time: Date.now(), pid: process.pid, hostname: host, ...renamed(fields), msg };
      stdout.write(`${JSON.stringify(line, replacer)}\n`);
    };
  return { info: write(LEVELS.info), warn: write(LEVELS.warn), error: write(LEVELS.error) };
}

/** A field of an event may have the name of a field of every line, whose meaning is fixed. */
function renamed(fields: object): object {
  return 'pid' in fields ? { ...fields, pid: process.pid, replicaPid: fields.pid } : fields;
}

function replacer(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (!(value instanceof Error)) return value;
  const { name, code, message, stack } = toErrorData(value);
  return { type: name, message, stack, code };
}
