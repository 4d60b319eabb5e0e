/** Runs checks, says a line for each, and counts them. */

/** Why a check has failed. */
export class Failed extends Error {}

export function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new Failed(otherwise);
}

export class Checks {
  #passed = 0;
  #failed = 0;

  /** @param check gives the figures that it passed with. @throws nothing: what `check` throws is its failure. */
  async run(name: string, check: () => string | Promise<string>): Promise<void> {
    try {
      const figures = await check();
      this.#passed++;
      console.log(`ok: ${name}: ${figures}`);
    } catch (error) {
      this.#failed++;
      console.log(`FAILED: ${name}: ${error instanceof Failed ? error.message : (error as Error).stack}`);
    }
  }

  /** The last line of a run. Sets the exit code. @param hint what to say where something failed. */
  summarize(hint?: string): void {
    const isGood = this.#failed === 0 && this.#passed > 0;
    if (!isGood && hint !== undefined) console.log(hint);
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
    if (!isGood) process.exitCode = 1;
  }
}
