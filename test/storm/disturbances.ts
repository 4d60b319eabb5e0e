/**
 * What the storm does to a pool, by a seed: kills at an even rate, and in between windows, refreshes, resizes, reloads, signals,
 * shocks that end all replicas at once, and deploys in place, during which nobody can start.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Balancer, ping, type Supervisor } from 'ballermann';
import { Random } from './random.js';
import { now, type Span } from './windows.js';

/** What the storm can do to the script that the replicas run. */
export interface Script {
  /** Nobody can start until it is put back. */
  remove(): void;
  putBack(): void;
}

/** ms from one kill to the next. */
const KILL_EVERY = 100;

type Disturbance = 'window' | 'refresh' | 'resize' | 'reload' | 'hang-up' | 'leave' | 'shock' | 'deploy';

const DISTURBANCES: readonly (readonly [Disturbance, number])[] = [
  ['window', 45],
  ['refresh', 15],
  ['resize', 12],
  ['reload', 10],
  ['hang-up', 5],
  ['leave', 5],
  ['shock', 4],
  ['deploy', 4],
];

type Window = 'plain' | 'timed' | 'throwing' | 'limited' | 'aborted';

const WINDOWS: readonly (readonly [Window, number])[] = [
  ['plain', 60],
  ['timed', 10],
  ['throwing', 10],
  ['limited', 10],
  ['aborted', 10],
];

/** What a window's own function throws. */
class OnPurpose extends Error {}

export class Disturbances {
  /** From the kill of each replica to its end as the primary saw it, by pid: ms of the monotonic clock. */
  readonly kills = new Map<number, Span>();
  /** Kills left out so that a replica stayed in rotation. */
  spared = 0;
  windows = 0;
  refreshes = 0;
  resizes = 0;
  reloads = 0;
  /** SIGHUPs to the primary, and SIGTERMs to replicas. */
  signals = 0;
  deploys = 0;
  /** From the moment in which all replicas were killed until the pool had one again. */
  readonly shocks: Span[] = [];
  /** Resizes and reloads that a kill, or a deploy, made fail. */
  failedStarts = 0;
  /** ms. */
  longestWindow = 0;
  /** What ended as it should not. */
  readonly faults: string[] = [];
  /** The windows in which nothing may run. */
  readonly airtight: Span[] = [];

  readonly #supervisor: Supervisor;
  readonly #pool: Balancer;
  readonly #replicas: number;
  readonly #script: Script;
  /** Those that were told to leave. */
  readonly #leaving = new Set<number>();
  readonly #killing: Random;
  readonly #choosing: Random;
  readonly #running = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #disturbing: Promise<void> = Promise.resolve();
  #isOver = true;
  #isChanging = false;
  #isDeploying = false;

  constructor(supervisor: Supervisor, pool: Balancer, script: Script, replicas: number, seed: number) {
    this.#supervisor = supervisor;
    this.#pool = pool;
    this.#script = script;
    this.#replicas = replicas;
    this.#killing = new Random(seed, 'kills');
    this.#choosing = new Random(seed, 'disturbances');
    const up = new Set<number>();
    supervisor.on('up', ({ pid }) => up.add(pid));
    supervisor.on('down', ({ pid, code, signal }) => {
      const kill = this.kills.get(pid);
      if (kill !== undefined) kill[1] = now();
      else if (up.has(pid) && code !== 0)
        this.faults.push(`replica ${pid} ended with ${signal ?? `code ${code}`}`);
    });
    pool.on('connect', () => {
      const shock = this.shocks.at(-1);
      if (shock?.[1] === Number.POSITIVE_INFINITY) shock[1] = now();
    });
    let pausedAt = 0;
    pool.on('pause', () => {
      pausedAt = performance.now();
    });
    pool.on('resume', () => {
      this.longestWindow = Math.max(this.longestWindow, performance.now() - pausedAt);
    });
  }

  begin(): void {
    this.#isOver = false;
    this.#timer = setInterval(() => this.#kill(), KILL_EVERY);
    this.#disturbing = this.#disturb();
  }

  /** Begins nothing more; resolves when what was begun has ended. */
  async end(): Promise<void> {
    this.#isOver = true;
    clearInterval(this.#timer);
    await this.#disturbing;
    await Promise.all(this.#running);
  }

  /**
   * One that serves or leaves, or in one of eight cases one that starts; none twice, since a killed one takes a while to
   * die. Never the last one in rotation: with none left calls are refused, as they must be.
   */
  #kill(): void {
    const [which, isAny] = [this.#killing.next(), this.#killing.below(8) === 0];
    const children = this.#supervisor.children().filter(({ pid }) => this.#lives(pid));
    const victims = children.filter(({ state }) => isAny || state !== 'starting');
    const victim = victims[Math.floor(which * victims.length)]?.pid;
    if (victim === undefined || this.#isLast(victim)) this.spared++;
    else this.#end(victim);
  }

  #lives(pid: number | undefined): boolean {
    return pid !== undefined && !this.kills.has(pid);
  }

  /** Whether nobody else is left in rotation. */
  #isLast(pid: number): boolean {
    const others = this.#pool
      .pids()
      .filter((one) => this.#lives(one) && !this.#leaving.has(one) && one !== pid);
    return others.length === 0;
  }

  #end(pid: number): void {
    this.kills.set(pid, [now(), Number.POSITIVE_INFINITY]);
    process.kill(pid, 'SIGKILL'); // not waited for as yet, so the pid is still its own
  }

  /** All that have a process die in the same moment. */
  #shock(): void {
    const all = this.#supervisor
      .children()
      .filter(({ pid, state }) => state !== 'starting' && this.#lives(pid));
    if (all.length === 0) return;
    this.shocks.push([now(), Number.POSITIVE_INFINITY]);
    for (const { pid } of all) this.#end(pid as number);
  }

  /** A replica gets a SIGTERM, finishes what it runs, and is restarted. */
  #leave(): void {
    const one = this.#pool.pids().find((pid) => this.#lives(pid) && !this.#leaving.has(pid));
    if (one === undefined || this.#isLast(one)) return;
    this.signals++;
    this.#leaving.add(one);
    process.kill(one, 'SIGTERM');
  }

  /** The script is away for a moment, as while a release is written over another; left out where it is away already. */
  async #deploy(ms: number): Promise<void> {
    if (this.#isDeploying) return;
    this.#isDeploying = true;
    this.deploys++;
    this.#script.remove();
    await sleep(ms);
    this.#script.putBack();
    this.#isDeploying = false;
  }

  async #disturb(): Promise<void> {
    while (!this.#isOver) {
      await sleep(this.#choosing.between(100, 500));
      if (this.#isOver) return;
      this.#begin(this.#choosing.weighted(DISTURBANCES), this.#choosing.below(1_000));
    }
  }

  /** @param choice 0 to 999: of what differs from one to the next. */
  #begin(disturbance: Disturbance, choice: number): void {
    switch (disturbance) {
      case 'window':
        for (let queued = choice % 3; queued >= 0; queued--)
          this.#run(disturbance, this.#window(new Random(choice, `window ${queued}`)));
        return;
      case 'refresh':
        this.refreshes++;
        return this.#run(disturbance, this.#pool.refresh());
      case 'resize': {
        const replicas = this.#replicas - 2 + (choice % 5);
        return this.#change(disturbance, async () => {
          await this.#nobodyDies();
          await this.#supervisor.resize(Math.max(2, replicas));
        });
      }
      case 'hang-up':
        this.signals++;
        process.kill(process.pid, 'SIGHUP');
        return;
      case 'leave':
        return this.#leave();
      case 'shock':
        return this.#shock();
      case 'deploy':
        return this.#run(disturbance, this.#deploy(100 + (choice % 400)));
      case 'reload': {
        const maxUnavailable = 1 + (choice % this.#replicas);
        return this.#change(disturbance, () => this.#supervisor.reload({ maxUnavailable }));
      }
    }
  }

  #run(what: string, done: Promise<unknown>): void {
    const running: Promise<void> = done
      .catch((error) => void this.faults.push(`${what}: ${error.code ?? error.name}: ${error.message}`))
      .then(() => void this.#running.delete(running));
    this.#running.add(running);
  }

  /** A resize that keeps those who are up would keep the dying ones, and may stop the only one that is not. */
  async #nobodyDies(): Promise<void> {
    while ([...this.kills.values()].some(([, end]) => end === Number.POSITIVE_INFINITY)) await sleep(1);
  }

  /** They run one after another, so one that would only wait is left out. */
  #change(what: 'resize' | 'reload', change: () => Promise<void>): void {
    if (this.#isChanging) return;
    this.#isChanging = true;
    if (what === 'resize') this.resizes++;
    else this.reloads++;
    const changed = change()
      .catch((error) => {
        if (error.code !== 'ERR_START_FAILED') throw error;
        this.failedStarts++;
      })
      .finally(() => {
        this.#isChanging = false;
      });
    this.#run(what, changed);
  }

  /** One that ends as its kind must. */
  async #window(random: Random): Promise<void> {
    this.windows++;
    const kind = random.weighted(WINDOWS);
    const ms = random.between(0, 30);
    const wait = kind === 'timed' ? ms : (pid: number) => ping(pid);
    const controller = new AbortController();
    const limit = { limited: { timeout: 2 * ms }, aborted: { signal: controller.signal } };
    if (kind === 'aborted') setTimeout(() => controller.abort(), ms);
    const isAirtight = kind === 'plain' || kind === 'throwing'; // the others may end before their function does
    const fn = async (): Promise<void> => {
      const span: Span = [now(), Number.POSITIVE_INFINITY];
      if (isAirtight) this.airtight.push(span);
      await sleep(ms);
      span[1] = now();
      if (kind === 'throwing') throw new OnPurpose();
    };
    const options = kind === 'limited' || kind === 'aborted' ? limit[kind] : {};
    await this.#pool.applyWithin(fn, wait, options).catch((error) => {
      const isExpected =
        (kind === 'throwing' && error instanceof OnPurpose) ||
        (kind === 'limited' && error.code === 'ERR_TIMEOUT') ||
        (kind === 'aborted' && error.name === 'AbortError');
      if (!isExpected) throw error;
    });
  }
}
