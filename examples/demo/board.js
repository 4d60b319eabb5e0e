/** What there is to show at any moment: a row for each replica, requests a second, and the log of events. */

const SHOWN_AFTER_END = 3000; // ms

export class Board {
  log = [];
  #started = performance.now();
  #supervisor;
  #pool;
  #traffic;
  #ended = new Map(); // by pid: how, and when
  #samples;

  constructor(supervisor, pool, traffic) {
    this.#supervisor = supervisor;
    this.#pool = pool;
    this.#traffic = traffic;
    this.#samples = [this.#sample()];
    supervisor.on('down', ({ pid, code, signal }) => {
      this.#ended.set(pid, { how: signal ?? `exit ${code}`, at: performance.now() });
    });
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

  /** Looked at from time to time: what is a second ago is what the rates are reckoned from. */
  look() {
    this.#samples.push(this.#sample());
    const { at } = this.#samples.at(-1);
    while (this.#samples.length > 2 && at - this.#samples[1].at > 1000) this.#samples.shift();
  }

  /** One row a replica, those that ended a moment ago included. */
  rows() {
    const present = this.#supervisor.children().filter(({ pid }) => pid !== undefined);
    const gone = [...this.#ended].filter(([, { at }]) => performance.now() - at < SHOWN_AFTER_END);
    return [
      ...present.map(({ pid, state }) => this.#row(pid, state)),
      ...gone.map(([pid, { how }]) => ({ ...this.#row(pid, how), open: 0 })),
    ];
  }

  totals() {
    const { answered, failed, cutOff } = this.#traffic.tally;
    return {
      rate: this.#rate((tally) => tally.answered),
      answered,
      failed,
      cutOff,
      paused: this.#pool.stats().paused,
    };
  }

  #row(pid, state) {
    const { open = 0, answered = 0 } = this.#traffic.tally.byPid[pid] ?? {};
    return { pid, state, open, answered, rate: this.#rate(({ byPid }) => byPid[pid]?.answered ?? 0) };
  }

  #rate(figure) {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    return last.at > first.at
      ? ((figure(last.tally) - figure(first.tally)) * 1000) / (last.at - first.at)
      : 0;
  }

  #sample() {
    return { at: performance.now(), tally: this.#traffic.tally };
  }
}

export function count(number) {
  return Math.round(number).toLocaleString('en-US');
}
