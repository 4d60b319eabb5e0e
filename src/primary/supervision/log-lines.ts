/** What the log says of each event of a supervisor: a level and one line for people. */

import { fromErrorData, toErrorData } from '../../errors.js';
import { howItEnded } from '../replicas/exit.js';
import type { Line } from './log.js';
import type {
  BlockedEvent,
  DownEvent,
  ForkFailedEvent,
  HungEvent,
  RecycleEvent,
  SupervisorEvents,
  UpEvent,
} from './supervisor-events.js';

/** Failures in a row from which on it is called a crash loop; it is said again each time that their number has doubled. */
const CRASH_LOOP = 5;

/** Which replica a line is about. */
export interface Who {
  readonly id: number;
  readonly pid: number;
}

/** Undefined for what needs no line. */
export const lines: {
  readonly [Name in keyof SupervisorEvents]: (...args: SupervisorEvents[Name]) => Line | undefined;
} = {
  up: (event) => info(`${replica(event)} is up`),
  down: (event) => (event.expected ? info(`${replica(event)} ${howItEnded(event)}`) : downLine(event)),
  forkFailed: (event) =>
    warn(`${child(event)} could not be started: ${event.error.message}; ${retry(event)}`),
  reloaded: () => info('every replica has been replaced'),
  reloadFailed: (failure) => error(`the reload failed: ${failure.message}`),
  recycle: (event) => info(`${replica(event)} is being replaced: ${recycleReason(event)}`),
  recycleFailed: (failure) =>
    warn(`a replica could not be replaced: ${failure.message}; the old one stays, and it is tried again`),
  blocked: (event) =>
    warn(
      `${replica(event)} is blocked: its event loop has not turned for ${event.ms} ms; it gets no new work until it turns`,
    ),
  unblocked: (event) => info(`${replica(event)} is no longer blocked, after ${event.ms} ms`),
  hung: (event) => error(hungText(event)),
  castFailed: (failure) => {
    const cause = failure.cause instanceof Error ? failure.cause : undefined;
    const what = failure.code === 'ERR_REMOTE' ? 'a cast failed' : 'a cast was lost';
    return { level: 'warn', text: `${what}: ${oneLine(failure.message)}`, news: cause };
  },
  gaveUp: () => undefined, // the supervisor itself says it, and what follows
  close: () => info('closed'),
};

/** A replica had to be killed, since it did not stop in time. */
export function forcedKill(who: Who, shutdown: number): Line {
  return warn(`${replica(who)} did not stop within ${shutdown} ms (shutdown) and was killed`);
}

/** A replica was to be killed, and lives: it runs as another user, so the primary may not signal it, and is stopped. */
export function stuck(who: Who): Line {
  return error(
    `${replica(who)} cannot be killed (EPERM): it runs as another user than the primary, and is suspended. The supervisor ` +
      'goes on without it. It ends as soon as it is continued (kill -CONT)',
  );
}

/** A replica takes long to start. */
export function slowStart(who: Who, ms: number, waitsFor: string): Line {
  return warn(`${replica(who)} is not ready after ${ms} ms: ${waitsFor}`);
}

/** A replica has sent what Node's own primary could not take. Only the first such message of each replica is told. */
export function droppedMessage(who: Who, what: string): Line {
  return warn(
    `${replica(who)} ${what}: Node cannot do that, so the request was dropped and counted in stats().malformed`,
  );
}

/** Code of the application has failed. @returns as well what it threw, as an error that can be looked at in any case. */
export function callbackFailure(whose: string, error: unknown): { line: Line; thrown: Error } {
  const thrown = fromErrorData(toErrorData(error));
  const text = `${whose} failed: ${oneLine(`${thrown.name}: ${thrown.message}`)}`;
  return { line: { level: 'error', text, news: thrown }, thrown };
}

export function stickyFailure(text: string, thrown: Error | undefined): Line {
  return { level: 'warn', text: oneLine(text), news: thrown };
}

function downLine(event: DownEvent): Line {
  const { failures } = event;
  const why = event.error === undefined ? '' : `: ${oneLine(`${event.error.name}: ${event.error.message}`)}`;
  const next = whenRestarted(event) ?? 'it is not restarted';
  const row = failures > 1 ? `, failure ${failures} in a row` : '';
  const text = `${replica(event)} ${howItEnded(event)}${why}${row}; ${next}`;
  return isNewsOfALoop(failures) ? error(`crash loop: ${text}`) : warn(text);
}

/** Undefined where it is not restarted. */
export function whenRestarted({ restart, restartIn = 0 }: DownEvent): string | undefined {
  if (!restart) return undefined;
  return `restart ${restartIn < 1 ? 'at once' : `in ${Math.round(restartIn)} ms`}`;
}

function isNewsOfALoop(failures: number): boolean {
  return failures >= CRASH_LOOP && Number.isInteger(Math.log2(failures / CRASH_LOOP));
}

function hungText(event: HungEvent): string {
  const report = event.report === undefined ? '' : `; its report is ${event.report}`;
  return `${replica(event)} hangs: its event loop has not turned for ${event.ms} ms. It is killed now${report}`;
}

function recycleReason({ reason, value }: RecycleEvent): string {
  return `it has reached ${reason} (${Math.round(value)})`;
}

function retry({ retryIn }: ForkFailedEvent): string {
  return retryIn === undefined ? 'it is not tried again' : `next try in ${Math.round(retryIn)} ms`;
}

function replica({ id, pid }: Pick<UpEvent | BlockedEvent, 'id' | 'pid'>): string {
  return `replica ${id} (pid ${pid})`;
}

function child({ id }: { id: number }): string {
  return `replica ${id}`;
}

export function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ');
}

function info(text: string): Line {
  return { level: 'info', text };
}

function warn(text: string): Line {
  return { level: 'warn', text };
}

function error(text: string): Line {
  return { level: 'error', text };
}
