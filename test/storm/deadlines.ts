/**
 * Whether what has a time limit settles within it and 50 ms more. On a machine that is busy with other things the
 * event loop of this process may itself come late, and nothing in it can then be on time. So beside the clock there
 * is a control: a plain timer of the limit's length, a second one of 50 ms after it, and two turns of the event loop. What
 * has settled by then was as punctual as a timer of Node; it is counted, so that the verdict shows how often that was needed.
 */

/** ms. */
const GRACE = 50;

export class Deadlines {
  /** What had not settled when even its control was over. */
  missed = 0;
  /** What settled later than its limit and 50 ms by the clock, but not later than its control. */
  controlled = 0;
  /** ms after its limit: the latest that anything settled. */
  latest = 0;
  /** ms: the latest that a control timer came. */
  latestTimer = 0;

  /** @param ms the limit, which begins now. @returns what to call when it has settled. */
  watch(ms: number): () => void {
    const due = performance.now() + ms;
    let timer: NodeJS.Timeout;
    let isOver = false;
    let isMissed = false;
    const miss = (): void => {
      if (isOver) return;
      isMissed = true;
      this.missed++;
    };
    const after = (until: number, then: () => void): void => {
      timer = setTimeout(
        () => {
          const late = performance.now() - until;
          this.latestTimer = Math.max(this.latestTimer, late);
          if (late < 0)
            after(until, then); // a timer of Node may be early by the time that its turn had taken
          else then();
        },
        Math.max(1, until - performance.now()),
      );
    };
    after(due, () => after(performance.now() + GRACE, () => setImmediate(() => setImmediate(miss))));
    return () => {
      isOver = true;
      clearTimeout(timer);
      const late = performance.now() - due;
      this.latest = Math.max(this.latest, late);
      if (late > GRACE && !isMissed) this.controlled++;
    };
  }
}
