/** The load as the primary sees it: its tally, always fresh, and what it can be asked. */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export class Traffic {
  tally = { answered: 0, failed: 0, failures: [], cutOff: 0, byPid: {} };
  #process;
  #waiting = new Map();
  #lastId = 0;

  constructor(url, clients) {
    this.#process = fork(fileURLToPath(new URL('./load.js', import.meta.url)), [url, `${clients}`]);
    this.#process.on('message', ({ id, answer, tally }) => {
      if (tally !== undefined) this.tally = tally;
      this.#waiting.get(id)?.resolve(answer);
      this.#waiting.delete(id);
    });
    this.#process.once('exit', (code, signal) => {
      const error = new Error(`the load ended with ${signal ?? code}`);
      for (const { reject } of this.#waiting.values()) reject(error);
    });
  }

  /** From now on broken connections of this replica are no failures, until killed(). */
  killing(pid) {
    return this.#ask('killing', pid);
  }

  killed() {
    return this.#ask('killed');
  }

  /** From now on notes of each answer when it was asked for, when its handler began and ended, edition and release. */
  watch() {
    return this.#ask('watch');
  }

  /** What was noted, once all that is in flight now is answered. */
  watched() {
    return this.#ask('watched');
  }

  /** Asks nothing new; resolves when what is in flight is answered, and the process is to end. */
  async stop() {
    this.tally = await this.#ask('stop');
    if (this.#process.connected) this.#process.disconnect();
  }

  #ask(ask, argument) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ id, ask, argument }, (error) => error && reject(error));
    });
  }
}
