/**
 * What a supervisor writes where nobody asked: a line for each thing that went wrong, on stderr or to the application's
 * logger. It says nothing in an orderly life, and no flood of events becomes a flood of lines.
 */

import { performance } from 'node:perf_hooks';
import { types } from 'node:util';
import { toErrorData } from '../../errors.js';

/** A logger for the option `log`. As with pino, each function is called with an object of fields, and then a text. */
export interface Logger {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

export type Level = keyof Logger;

export interface Line {
  readonly level: Level;
  readonly text: string;
  /** What was thrown where nobody else shows its stack. */
  readonly news?: Error | undefined;
}

/** Lines of one event that are written within a PERIOD; further ones are counted. */
const MOST = 10;
const PERIOD = 1_000; // ms

export class Log {
  readonly #supervisor: string;
  readonly #logger: Logger | undefined;
  readonly #floods = new Map<string, { since: number; lines: number; left: number }>();

  /** @param log false: nothing is written; undefined: warnings and errors go to stderr. */
  constructor(supervisor: string, log: Logger | false | undefined) {
    this.#supervisor = supervisor;
    if (log !== false) this.#logger = log ?? stderr;
  }

  write(event: string, line: Line, fields: object): void {
    const isSilent = this.#logger === stderr && line.level === 'info';
    if (this.#logger === undefined || isSilent || this.#isFlooded(event, line.level)) return;
    this.#write(line.level, { event, ...fields }, line.text, line.news);
  }

  /** For what must reach a person: on stderr in any case, and to the application's logger where it has one. */
  fatal(event: string, text: string, fields: object): void {
    if (this.#logger !== undefined && this.#logger !== stderr)
      this.#write('error', { event, ...fields }, text);
    stderr.error({}, this.#line(text));
  }

  #write(level: Level, fields: object, text: string, news?: Error): void {
    const withName = { supervisor: this.#supervisor, ...fields };
    const line = this.#line(text);
    try {
      const result: unknown = this.#logger?.[level](
        withName,
        this.#logger === stderr ? withStack(line, news) : line,
      );
      if (types.isPromise(result)) result.then(undefined, (error) => loggerFailed(line, error));
    } catch (error) {
      loggerFailed(line, error);
    }
  }

  #line(text: string): string {
    return `ballermann: ${this.#supervisor}: ${text}`;
  }

  /** Counts the line, and says at the end of a flood what was left out. */
  #isFlooded(event: string, level: Level): boolean {
    const now = performance.now();
    const key = `${level} ${event}`;
    const flood = this.#floods.get(key);
    if (flood === undefined || now - flood.since >= PERIOD) {
      this.#floods.set(key, { since: now, lines: 1, left: 0 });
      return false;
    }
    if (++flood.lines <= MOST) return false;
    if (flood.left++ === 0) {
      const wait = PERIOD - (now - flood.since);
      setTimeout(() => this.#tellLeft(event, level, flood.left), wait).unref();
    }
    return true;
  }

  #tellLeft(event: string, level: Level, left: number): void {
    this.#write(level, { event, left }, `${left} more lines about '${event}' were left out within a second`);
  }
}

/** Where nobody has asked, what goes well is not told. */
const stderr: Logger = {
  info() {},
  warn: (_fields, text) => void process.stderr.write(`${text}\n`),
  error: (_fields, text) => void process.stderr.write(`${text}\n`),
};

function loggerFailed(line: string, error: unknown): void {
  stderr.error({}, `${line} (the logger threw: ${toErrorData(error).message})`);
}

function withStack(text: string, news: Error | undefined): string {
  return news?.stack === undefined ? text : `${text}\n${news.stack}`;
}
