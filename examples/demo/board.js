/** What there is to show at any moment: a row for each replica, calls a second, and the log of events. */

export class Board {
  log = [];
  rate = 0;
  #started = performance.now();
  #supervisor;
  #pool;
  #load;
  #rows = new Map();
  #before = new Map();
  #samples = [{ now: this.#started, answered: 0 }];

  constructor(supervisor, pool, load) {
    this.#supervisor = supervisor;
    this.#pool = pool;
    this.#load = load;
    supervisor.on('down', ({ id, code, signal }) => {
      const row = this.#rows.get(id);
      if (row !== undefined) row.end = signal ?? `exit ${code}`;
      this.restartShares();
    });
    pool.on('refresh', () => this.restartShares());
  }

  /** Seconds since the beginning. */
  get seconds() {
    return (performance.now() - this.#started) / 1000;
  }

  /** Told of each new event; by default nobody is. */
  onEvent = () => {};

  say(text) {
    const event = { seconds: this.seconds, text };
    this.log.push(event);
    this.onEvent(event);
  }

  /** Calls that each replica in rotation was handed since the last restartShares(), by pid. */
  shares() {
    return this.#handOuts((pid, calls) => calls - (this.#before.get(pid) ?? 0));
  }

  /** Counts shares from now on. */
  restartShares() {
    this.#before = this.#handOuts((_, calls) => calls);
  }

  /** One row a child of the supervisor, those that have gone for good included. */
  rows() {
    const shares = this.shares();
    for (const { id, pid, state } of this.#supervisor.children()) {
      const row = this.#rows.get(id) ?? { id };
      this.#rows.set(id, row);
      Object.assign(row, { pid, state, end: undefined, share: shares.get(pid) });
    }
    const present = new Set(this.#supervisor.children().map(({ id }) => id));
    for (const row of this.#rows.values()) {
      if (!present.has(row.id)) Object.assign(row, { state: 'gone', share: undefined });
    }
    return [...this.#rows.values()].map((row) => ({
      ...row,
      answered: this.#load.byPid.get(row.pid) ?? 0,
      isOut: row.state === 'up' && row.share === undefined,
    }));
  }

  /** Looked at from time to time: takes the calls/s of the last second. */
  totals() {
    const now = performance.now();
    this.#samples.push({ now, answered: this.#load.answered });
    while (this.#samples.length > 2 && now - this.#samples[1].now > 1000) this.#samples.shift();
    const [first] = this.#samples;
    if (now > first.now) this.rate = ((this.#load.answered - first.answered) * 1000) / (now - first.now);
    const { paused, held, alive, original } = this.#pool.stats();
    const { answered, wrong, lost } = this.#load;
    const { rate } = this;
    return { rate, answered, wrong, lost: lost.length, paused, held, alive, original };
  }

  /** A call that was handed out is answered or unfinished. */
  #handOuts(figure) {
    const { replicas } = this.#pool.stats();
    return new Map(
      replicas.map(({ pid, unfinished }) => {
        return [pid, figure(pid, (this.#load.byPid.get(pid) ?? 0) + unfinished)];
      }),
    );
  }
}

export function count(number) {
  return Math.round(number).toLocaleString('en-US');
}
