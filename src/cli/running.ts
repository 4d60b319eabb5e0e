/** One life of the supervisor of `run`, with one pool of its name: from its start to its end, and what the exit code says of it. */

import { BallermannError, balance, supervise } from '../index.js';
import { signalGuard } from '../primary/process/signals.js';
import type { Supervisor } from '../primary/supervision/supervisor.js';
import { EXIT } from './command.js';
import type { Voice } from './log.js';
import { baseName } from './script.js';
import type { RunSettings } from './settings.js';

/** ms, after the supervisor's own line about a start that is slow. */
const SLOW_START = 5_500;

/** How a run ended. */
interface End {
  readonly exitCode: number;
  /** Whether other code could make it better: it did not start, or gave up. */
  readonly hasFailed: boolean;
}

/** From a start to its end. */
export class Run {
  readonly #settings: RunSettings;
  readonly #script: string;
  readonly #voice: Voice;
  #hasExplained = false;

  constructor(settings: RunSettings, script: string, voice: Voice) {
    this.#settings = settings;
    this.#script = script;
    this.#voice = voice;
  }

  /** @param onUp is called when every replica is ready. @throws UsageError for a wrong option. */
  async untilEnd(onUp?: (supervisor: Supervisor) => void): Promise<End> {
    const { balancer, blame } = this.#settings;
    const slow = setTimeout(() => this.#explain(), SLOW_START);
    try {
      const supervisor = await this.#supervise();
      const end = this.#end(supervisor);
      await balance(supervisor, supervisor.name, balancer).catch(async (error) => {
        await supervisor.close();
        throw error;
      });
      clearTimeout(slow);
      this.#tellUp(supervisor);
      onUp?.(supervisor);
      return await end;
    } catch (error) {
      clearTimeout(slow);
      if (signalGuard().isEnding()) await never();
      const blamed = blame(error);
      if (!(blamed instanceof BallermannError)) throw blamed;
      this.#voice.say('error', blamed.message);
      if (blamed.exitCode === 0 || /readyTimeout/.test(blamed.message)) this.#explain();
      return { exitCode: EXIT.failed, hasFailed: true };
    }
  }

  /** A server is worth more than its control socket, which may have no place: in a container that is read-only, say. */
  async #supervise(): Promise<Supervisor> {
    const options = { ...this.#settings.supervisor, log: this.#voice.log };
    try {
      return await supervise(options);
    } catch (error) {
      const isControl = error instanceof BallermannError && error.code === 'ERR_CONTROL_UNAVAILABLE';
      if (!isControl || this.#settings.needsControl) throw error;
      this.#voice.say(
        'warn',
        `${error.message}. It runs without: status, reload, scale, window and stop do not find it`,
      );
      return supervise({ ...options, control: false });
    }
  }

  #tellUp(supervisor: Supervisor): void {
    const count = supervisor.children().length;
    const who = count === 1 ? '1 replica is' : `${count} replicas are`;
    this.#voice.say('info', `${who} up; the primary has pid ${process.pid}`);
  }

  #end(supervisor: Supervisor): Promise<End> {
    return new Promise((resolveEnd) => {
      let hasFailed = false;
      supervisor.once('gaveUp', () => {
        hasFailed = true;
      });
      supervisor.on('down', ({ restart, expected }) => {
        if (restart || supervisor.children().length > 0 || supervisor.ended !== undefined) return;
        // With --restart transient or temporary it may be that none is left, and none will come.
        hasFailed ||= !expected;
        this.#voice.say(hasFailed ? 'error' : 'info', 'the last replica has ended, and none is restarted');
        void supervisor.close();
      });
      supervisor.once('close', () => {
        if (signalGuard().isEnding()) return; // as below
        resolveEnd({ exitCode: hasFailed || supervisor.disorderly ? EXIT.failed : EXIT.ok, hasFailed });
      });
    });
  }

  /** Once. With another --wait-ready, the author knows. */
  #explain(): void {
    const { waitReady = 'listen' } = this.#settings.supervisor;
    if (this.#hasExplained || waitReady !== 'listen') return;
    this.#hasExplained = true;
    this.#voice.say('error', whatReadyMeans(this.#script));
  }
}

/** What a person may do whose script does not listen: it may be no server. */
function whatReadyMeans(script: string): string {
  return (
    `${baseName(script)} has not listened on anything so far, and a replica is ready when it listens. If it takes long to get ` +
    'there, raise --ready-timeout. If it says so by ready() of ballermann/replica, use --wait-ready ready. If it is no server, ' +
    'use --wait-ready online, and --restart transient if it exits when its work is done'
  );
}

/** Whoever deals with signals ends this process. */
function never(): Promise<never> {
  return new Promise(() => {});
}
