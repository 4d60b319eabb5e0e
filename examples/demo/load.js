/** Continuous load: a number of callers, each of which always has one call in flight and checks its answer. */

import { setTimeout as sleep } from 'node:timers/promises';
import { BallermannError, call } from 'ballermann';
import { fingerprint, readPieces } from './corpus.js';

export class Load {
  answered = 0;
  wrong = 0;
  /** Calls that their replica had begun when it died: rejected, and asked again by the caller. */
  died = [];
  /** Errors of calls that should have been answered. */
  lost = [];
  /** Answers by the pid that gave them. */
  byPid = new Map();
  #pool;
  #hashes = readPieces().map(fingerprint); // the primary's own computation
  #next = 0;
  #stopping = false;
  #callers = [];
  #askedAt = []; // by caller, its call in flight

  constructor(pool) {
    this.#pool = pool;
  }

  /** Calls that have been in flight since before a moment (performance.now()). */
  askedBefore(moment) {
    return this.#askedAt.filter((asked) => asked < moment).length;
  }

  start(callers) {
    this.#callers = Array.from({ length: callers }, (_, caller) => this.#keepCalling(caller));
  }

  /** From now on nothing new is asked. Resolves when what is in flight is answered. */
  async stop() {
    this.#stopping = true;
    await Promise.all(this.#callers);
  }

  async #keepCalling(caller) {
    while (!this.#stopping) {
      const piece = this.#next++ % this.#hashes.length;
      this.#askedAt[caller] = performance.now();
      await this.#ask(piece);
    }
    this.#askedAt[caller] = undefined;
  }

  async #ask(piece) {
    try {
      const { pid, hash } = await call(this.#pool, { piece });
      this.byPid.set(pid, (this.byPid.get(pid) ?? 0) + 1);
      this.check(piece, hash);
    } catch (error) {
      if (!(error instanceof BallermannError)) throw error;
      if (error.code === 'ERR_REPLICA_DIED') {
        this.died.push(error);
        await this.#ask(piece); // computing a hash twice does no harm
      } else {
        this.lost.push(error);
        await sleep(20);
      }
    }
  }

  check(piece, hash) {
    this.answered++;
    if (hash !== this.#hashes[piece]) this.wrong++;
  }
}
