/** What a supervisor does for each verb of its control socket. */

import { once } from 'node:events';
import { BallermannError } from '../errors.js';
import type { PingOptions } from '../options.js';
import { packageVersion } from '../package-files.js';
import type { Balancer } from '../primary/pools/balancer.js';
import { pools } from '../primary/pools/pools.js';
import type { Supervisor } from '../primary/supervision/supervisor.js';
import type { Closed, Request, Resized, Status, Stopped } from './protocol.js';
import type { Controlled, Session } from './server.js';

/** ms that every replica has to become idle before a window, as ping() has. */
const DEFAULT_WAIT = 5_000;

type Asked<Verb extends Request['verb']> = Extract<Request, { verb: Verb }>;

/** The function of `ballermann`. */
export type Ping = (pid: number, options: PingOptions) => Promise<void>;

export class ControlledSupervisor implements Controlled {
  readonly #supervisor: Supervisor;
  readonly #ping: Ping;
  readonly #version = packageVersion(); // now: a deploy may replace the file later
  /** The last resize that was asked for: one by a number counts from what the one before leaves. */
  #resized: Promise<unknown> = Promise.resolve();

  constructor(supervisor: Supervisor, ping: Ping) {
    this.#supervisor = supervisor;
    this.#ping = ping;
  }

  perform(request: Exclude<Request, { verb: 'close' }>, session: Session): Promise<unknown> {
    switch (request.verb) {
      case 'status':
        return this.#status();
      case 'reload':
        return this.#reload(request, session);
      case 'resize':
        return this.#resize(request);
      case 'window':
        return this.#window(request, session);
      case 'stop':
        return this.#stop();
    }
  }

  async #status(): Promise<Status> {
    const { exec } = this.#supervisor.settings;
    return { version: this.#version, pid: process.pid, script: exec, ...this.#supervisor.metrics() };
  }

  /** Goes on to its end when the client has gone: half a reload would be neither the old state nor the new one. */
  async #reload({ maxUnavailable }: Asked<'reload'>, { tell }: Session): Promise<void> {
    const before = new Set(this.#pids());
    const onUp = (): void => {
      const now = this.#pids();
      const done = now.filter((pid) => !before.has(pid)).length;
      tell({ event: 'progress', done, of: this.#supervisor.size });
    };
    this.#supervisor.on('up', onUp);
    try {
      await this.#supervisor.reload(maxUnavailable === undefined ? {} : { maxUnavailable });
    } finally {
      this.#supervisor.off('up', onUp);
    }
  }

  #pids(): number[] {
    const up = this.#supervisor.children().filter(({ state }) => state === 'up');
    return up.map(({ pid }) => pid as number);
  }

  async #resize({ replicas, by }: Asked<'resize'>): Promise<Resized> {
    const resized = this.#resized.then(async () => {
      const from = this.#supervisor.size;
      const to = replicas ?? from + (by ?? 0);
      await this.#supervisor.resize(to);
      return { from, to };
    });
    this.#resized = resized.catch(() => {});
    return resized;
  }

  async #window(
    { pool, wait = DEFAULT_WAIT, timeout }: Asked<'window'>,
    { tell, ended, closed }: Session,
  ): Promise<Closed> {
    const balancer = this.#pool(pool);
    const given = new AbortController();
    const { signal } = given;
    const giveUp = (): void => given.abort(ended.reason);
    ended.addEventListener('abort', giveUp);
    if (ended.aborted) giveUp();
    let openedAt: number | undefined;
    const isClosed = closed.then(() => {
      if (openedAt === undefined) given.abort(new BallermannError('ERR_CLOSED', 'closed before it was open'));
    });
    try {
      return await balancer.applyWithin(
        async () => {
          openedAt = performance.now();
          tell({ event: 'open' });
          await isClosed;
          return { open: Math.round(performance.now() - openedAt) };
        },
        (pid) => this.#ping(pid, { timeout: wait, signal }),
        { signal, ...(timeout !== undefined && { timeout }) },
      );
    } finally {
      ended.removeEventListener('abort', giveUp);
    }
  }

  /** @throws BallermannError ERR_NO_SUCH_POOL for one that is another supervisor's, too. */
  #pool(name: string): Balancer {
    const own = [...pools.values()].filter((pool) => this.#supervisor.pools.has(pool));
    const balancer = own.find((pool) => pool.name === name);
    if (balancer === undefined) throw noSuchPool(name, own);
    return balancer;
  }

  /** What SIGTERM does, where it is ours: the application ends as it does then. */
  async #stop(): Promise<Stopped> {
    const supervisor = this.#supervisor;
    const exits = supervisor.settings.signals;
    const closed = once(supervisor, 'close');
    if (exits) process.kill(process.pid, 'SIGTERM');
    else void supervisor.close();
    await closed;
    return { killed: supervisor.disorderly, exits };
  }
}

function noSuchPool(name: string, own: readonly Balancer[]): BallermannError {
  const names = own.map((pool) => JSON.stringify(pool.name)).join(', ');
  const there = names === '' ? 'it has none' : `its pools are ${names}`;
  return new BallermannError(
    'ERR_NO_SUCH_POOL',
    `no pool of this supervisor is named ${JSON.stringify(name)}; ${there}`,
  );
}
