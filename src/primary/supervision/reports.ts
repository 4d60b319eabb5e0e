/** What a supervisor tells of itself: its events to those who listen, and lines to the log. */

import type { EventEmitter } from 'node:events';
import type { BallermannError } from '../../errors.js';
import { announce } from '../announce.js';
import { byAddress, type StickyKey } from '../listening/sticky.js';
import { safely } from '../listening/sticky-key.js';
import type { Child } from './child.js';
import { type Line, Log } from './log.js';
import {
  callbackFailure,
  droppedMessage,
  forcedKill,
  lines,
  slowStart,
  stickyFailure,
  stuck,
  type Who,
} from './log-lines.js';
import type { SupervisorEvents } from './supervisor-events.js';
import type { SupervisorSettings } from './supervisor-options.js';

export class Reports {
  readonly log: Log;
  readonly #emitter: EventEmitter<SupervisorEvents>;

  constructor(emitter: EventEmitter<SupervisorEvents>, { name, log }: SupervisorSettings) {
    this.log = new Log(name, log);
    this.#emitter = emitter;
  }

  announce<Name extends keyof SupervisorEvents>(name: Name, ...args: SupervisorEvents[Name]): void {
    const line = lines[name](...args);
    const [event] = args;
    if (line !== undefined)
      this.log.write(name, line, event instanceof Error ? { err: event } : { ...event });
    announce(this.#emitter, name, args, (error) => this.callbackFailed(`a listener of '${name}'`, error));
  }

  /**
   * The event 'gaveUp', and the line after that of the death which it follows from.
   * @returns whether anybody listens for it.
   */
  gaveUp(text: string, error: BallermannError): boolean {
    const isHeard = this.#emitter.listenerCount('gaveUp') > 0;
    this.announce('gaveUp', error);
    process.nextTick(() => {
      if (isHeard) return this.log.write('gaveUp', { level: 'error', text }, { err: error });
      const ending = "Nobody listens for 'gaveUp': this process will exit with code 1";
      this.log.fatal('gaveUp', `${text}. ${ending}`, { err: error });
    });
    return isHeard;
  }

  /**
   * Code of the application failed which was called on its behalf, and to which nobody listens.
   * @param whose the code, for the text.
   */
  callbackFailed(whose: string, error: unknown): void {
    const { line, thrown } = callbackFailure(whose, error);
    this.log.write('callbackFailed', line, { err: thrown });
  }

  /** The same function, whose failures end nothing. */
  safely(sticky: StickyKey | undefined): StickyKey | undefined {
    if (sticky === undefined || sticky === byAddress) return sticky;
    return safely(sticky, (text, thrown) => this.log.write('stickyFailed', stickyFailure(text, thrown), {}));
  }

  slowStart(child: Child, ms: number, missing: string): void {
    this.#ofReplica('slow start', child, (who) => slowStart(who, ms, missing));
  }

  /** It did not stop within `shutdown` ms. */
  killed(who: Who, shutdown: number): void {
    this.log.write('killed', forcedKill(who, shutdown), who);
  }

  /** It lives, since the primary may not signal it. */
  stuck(child: Child): void {
    this.#ofReplica('stuck', child, stuck);
  }

  /** A message of its was dropped, since Node could not take it. */
  dropped(child: Child, what: string): void {
    this.#ofReplica('dropped', child, (who) => droppedMessage(who, what));
  }

  #ofReplica(event: string, { id, replica }: Child, line: (who: Who) => Line): void {
    if (replica === undefined) return;
    const who = { id, pid: replica.pid };
    this.log.write(event, line(who), who);
  }
}
