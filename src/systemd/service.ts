/** This process as a service of systemd: tells when its supervisors are ready, reload and stop, and that they can serve. */

import { hrtime, pid } from 'node:process';
import { toErrorData } from '../errors.js';
import type { Supervisor } from '../primary/supervision/supervisor.js';
import type { SupervisorObserver } from '../primary/supervision/supervisor-events.js';
import { type Fields, NotifySocket, takeServiceEnvironment } from './notify-socket.js';

/** What is begun may take longer than the unit allows, as long as this process says so again and again (ms). */
const EXTENSION = 30_000;
const EXTEND_EVERY = 10_000;

let service: Service | undefined | null = null;

/** The service that this process is; undefined where no service manager listens. @param log is told what goes wrong. */
export function serviceOf(log: (text: string) => void): Service | undefined {
  if (service === null) {
    const environment = takeServiceEnvironment(process.env, pid);
    service = environment && new Service(new NotifySocket(environment.address, log), environment.watchdog);
  }
  return service;
}

type Phase = 'starting' | 'serving' | 'stopping';

class Service {
  readonly #socket: NotifySocket;
  readonly #supervisors = new Map<Supervisor, Phase>();
  #reloading = 0;
  #status = '';
  /** Why the last reload failed; undefined where it did not. */
  #failure: string | undefined;
  #wasReady = false;
  #extending: NodeJS.Timeout | undefined;
  /** A sign of life was due while no replica could serve. */
  #isOverdue = false;

  constructor(socket: NotifySocket, watchdog: number | undefined) {
    this.#socket = socket;
    if (watchdog !== undefined) setInterval(() => this.#showLife(), watchdog / 2).unref();
  }

  /** A supervisor that is about to start. */
  add(supervisor: Supervisor): void {
    this.#supervisors.set(supervisor, 'starting');
    supervisor.observe(this.#observerOf(supervisor));
    supervisor.once('close', () => {
      this.#supervisors.delete(supervisor);
      this.#extend();
    });
    this.#say({ STATUS: this.#statusNow() });
    this.#extend();
  }

  /** All its replicas are ready. */
  started(supervisor: Supervisor): void {
    if (this.#supervisors.get(supervisor) !== 'starting') return;
    this.#supervisors.set(supervisor, 'serving');
    this.#noteReady();
  }

  #observerOf(supervisor: Supervisor): SupervisorObserver {
    const changed = (): void => {
      this.#tellStatus();
      if (this.#isOverdue) this.#showLife();
    };
    return {
      up: changed,
      leaving: changed,
      turned: changed,
      down: changed,
      renewed: async () => changed(),
      reloading: (done) => this.#reload(done),
      ended: () => {
        this.#supervisors.set(supervisor, 'stopping');
        if (this.#has('starting') || this.#has('serving')) return changed();
        this.#say({ STOPPING: 1, STATUS: this.#statusNow() });
        this.#extend();
      },
    };
  }

  #reload(done: Promise<void>): void {
    if (this.#reloading++ === 0) {
      // systemd takes it for the answer to its own request by this: its clock, at the time of the message.
      this.#say({ RELOADING: 1, MONOTONIC_USEC: hrtime.bigint() / 1000n, STATUS: this.#statusNow() });
    }
    this.#extend();
    const over = (failure?: string): void => {
      this.#failure = failure;
      this.#reloading--;
      this.#noteReady();
    };
    done.then(
      () => over(),
      (error: unknown) => over(toErrorData(error).message),
    );
  }

  /** When nothing starts, reloads or stops any more. */
  #noteReady(): void {
    this.#extend();
    if (this.#reloading > 0 || this.#has('starting') || !this.#has('serving')) return this.#tellStatus();
    this.#say({ READY: 1, ...(!this.#wasReady && { MAINPID: pid }), STATUS: this.#statusNow() });
    this.#wasReady = true;
  }

  /** The event loop turns, or this would not be called; and whoever serves has a replica for it. */
  #showLife(): void {
    this.#isOverdue = ![...this.#supervisors].every(
      ([supervisor, phase]) => phase !== 'serving' || supervisor.up().some(({ blocked }) => !blocked),
    );
    if (!this.#isOverdue) this.#say({ WATCHDOG: 1 });
  }

  /** What is under way has a limit of its own, which may be longer than the unit's. */
  #extend(): void {
    clearInterval(this.#extending);
    this.#extending = undefined;
    if (this.#reloading === 0 && !this.#has('starting') && !this.#has('stopping')) return;
    const extend = (): void => this.#say({ EXTEND_TIMEOUT_USEC: EXTENSION * 1000 });
    extend();
    this.#extending = setInterval(extend, EXTEND_EVERY).unref();
  }

  #has(phase: Phase): boolean {
    return [...this.#supervisors.values()].includes(phase);
  }

  #tellStatus(): void {
    if (this.#statusNow() !== this.#status) this.#say({ STATUS: this.#statusNow() });
  }

  /** As `systemctl status` shows it. */
  #statusNow(): string {
    const failure = this.#failure === undefined ? [] : [`the last reload failed: ${this.#failure}`];
    const supervisors = [...this.#supervisors].map(([supervisor, phase]) => {
      const doing = this.#reloading > 0 && phase === 'serving' ? 'reloading' : phase;
      return `${supervisor.name}: ${doing}, ${supervisor.up().length} of ${supervisor.settings.replicas} replicas up`;
    });
    return [...supervisors, ...failure].join('; ');
  }

  #say(fields: Fields): void {
    if (typeof fields['STATUS'] === 'string') this.#status = fields['STATUS'];
    this.#socket.send(fields);
  }
}
