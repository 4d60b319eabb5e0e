/** `run --watch`: a change of a source file reloads the script while it runs, and starts it anew when it has failed. */

import { dirname } from 'node:path';
import type { Supervisor } from '../primary/supervision/supervisor.js';
import { Changes } from './changes.js';
import type { Voice } from './log.js';
import { Run } from './running.js';
import type { RunSettings } from './settings.js';

/** @returns the exit code, when it was told to stop. */
export async function watching(settings: RunSettings, script: string, voice: Voice): Promise<number> {
  const freshness = new Freshness(voice);
  const paths = settings.watchPaths.length > 0 ? settings.watchPaths : [dirname(script)];
  using _changes = new Changes(
    paths,
    (files) => freshness.changed(files),
    (error) => voice.say('error', `cannot watch every folder: ${error.message}`),
  );
  for (;;) {
    freshness.starting();
    const { exitCode, hasFailed } = await new Run(settings, script, voice).untilEnd((supervisor) =>
      freshness.up(supervisor),
    );
    if (!hasFailed) return exitCode;
    await freshness.nextChange();
  }
}

/** Whether what runs is what the files say, and what is done where it is not. */
class Freshness {
  readonly #voice: Voice;
  #supervisor: Supervisor | undefined;
  #isOutdated = false;
  #isReloading = false;
  #onNext: (() => void) | undefined;

  constructor(voice: Voice) {
    this.#voice = voice;
  }

  starting(): void {
    this.#isOutdated = false;
    this.#supervisor = undefined;
  }

  up(supervisor: Supervisor): void {
    this.#supervisor = supervisor;
    if (this.#isOutdated) void this.#reload(supervisor); // a file has changed while it was starting
  }

  changed(files: readonly string[]): void {
    const more = files.length > 3 ? ` and ${files.length - 3} more` : '';
    this.#voice.say('info', `${files.slice(0, 3).join(', ')}${more} changed`);
    this.#isOutdated = true;
    this.#onNext?.();
    if (this.#supervisor !== undefined && !this.#isReloading) void this.#reload(this.#supervisor);
  }

  /** Resolves at the next change since the last start. */
  async nextChange(): Promise<void> {
    this.#supervisor = undefined;
    if (this.#isOutdated) return;
    this.#voice.say('info', 'it is started again when a file changes');
    await new Promise<void>((resolve) => {
      this.#onNext = resolve;
    });
    this.#onNext = undefined;
  }

  async #reload(supervisor: Supervisor): Promise<void> {
    this.#isReloading = true;
    while (this.#isOutdated && supervisor.ended === undefined) {
      this.#isOutdated = false;
      // All replicas at once: in development nobody is to wait for them. The supervisor says itself why it fails.
      const maxUnavailable = Math.max(1, supervisor.children().length);
      await supervisor.reload({ maxUnavailable }).catch(() => {
        if (supervisor.ended === undefined)
          this.#voice.say('info', 'the replicas that were there go on with the code that they have');
      });
    }
    this.#isReloading = false;
  }
}
