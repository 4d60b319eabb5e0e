/** A fleet for the tests: machines that are processes of this one, callers, and the diary of all that their replicas ran. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import { BallermannError, type ErrorCode } from 'ballermann';
import { type FleetPool, type FleetPoolOptions, fleetPool, type JoinOptions } from 'ballermann/nats';
import * as assert from 'uvu/assert';
import { stopped } from './failing.js';
import { fixture, until } from './helpers.js';
import { NatsServer, type NatsServerOptions } from './nats.js';
import { Folder } from './processes.js';

/** ms. A member is gone after three of them. */
export const HEARTBEAT = 200;
/** ms that a window lasts once its coordinator has gone silent. */
export const LEASE = 1_000;

export interface FleetOptions {
  readonly machines?: number;
  readonly replicas?: number;
  /** ms between two heartbeats. @default HEARTBEAT */
  readonly heartbeat?: number;
  readonly server?: NatsServerOptions;
  /** How machines and callers connect, besides the address. */
  readonly connection?: ConnectionOptions;
}

/** What a replica has run; the times are of process.hrtime.bigint(). */
interface Entry {
  readonly at: bigint;
  /** The pid of the primary. */
  readonly primary: number;
  readonly what: 'begin' | 'end' | 'abort';
  readonly id: string;
}

export interface Work {
  readonly id: string;
  readonly ms?: number;
  /** Characters that the answer has besides. */
  readonly pad?: number;
}

export interface Done {
  readonly id: string;
  readonly primary: number;
}

/** A server, machines whose pools 'work' serve the fleet, and a caller. */
export class Fleet implements AsyncDisposable {
  readonly server: NatsServer;
  readonly machines: Machine[] = [];
  readonly nc: NatsConnection;
  readonly pool: FleetPool;
  /** As another process would have it: what is called inside a window of `pool` is refused. */
  readonly other: FleetPool;
  readonly #folder = new Folder();
  readonly #options: FleetOptions;
  #count = 0;

  private constructor(server: NatsServer, nc: NatsConnection, options: FleetOptions) {
    this.server = server;
    this.nc = nc;
    this.#options = options;
    this.pool = fleetPool(nc, 'work', fleetOptions);
    this.other = fleetPool(nc, 'work', fleetOptions);
  }

  /** Resolves when all machines serve. */
  static async start(options: FleetOptions = {}): Promise<Fleet> {
    const server = await NatsServer.start(options.server);
    const nc = await connect({ ...patient, servers: server.url, ...options.connection });
    const fleet = new Fleet(server, nc, options);
    try {
      await Promise.all(Array.from({ length: options.machines ?? 3 }, () => fleet.add()));
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** One machine more; resolves when it serves. */
  async add(): Promise<Machine> {
    const machine = new Machine({
      connection: { ...patient, servers: this.server.url, ...this.#options.connection },
      diary: this.#folder.at('diary'),
      replicas: this.#options.replicas ?? 1,
      options: { heartbeat: this.#options.heartbeat ?? HEARTBEAT },
      fleet: fleetOptions,
    });
    this.machines.push(machine);
    await machine.says('ready');
    return machine;
  }

  /** All that the replicas have run so far. */
  get diary(): Entry[] {
    const file = this.#folder.at('diary');
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => {
      const [at, primary, what, id] = line.split(' ') as [string, string, Entry['what'], string];
      return { at: BigInt(at), primary: Number(primary), what, id };
    });
  }

  /** Work of a new id. */
  work(ms = 0, pad = 0): Work {
    this.#count += 1;
    return { id: String(this.#count), ms, pad };
  }

  /** Waits until the caller sees so many members. */
  async sees(count: number): Promise<void> {
    await until(
      () => this.pool.members().length === count,
      () => `${count} members; there are ${this.pool.members().length}`,
    );
  }

  /** Fails where anything ran, in part or whole, between the two times. */
  idleBetween(from: bigint, to: bigint): void {
    const running = new Map<string, bigint>();
    for (const { at, primary, what, id } of this.diary) {
      const key = `${primary} ${id}`;
      if (what === 'begin') {
        running.set(key, at);
        assert.not.ok(at > from && at < to, `${key} began in the window`);
      } else {
        const began = running.get(key) ?? at;
        assert.not.ok(began < to && at > from, `${key} ran into the window`);
        running.delete(key);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const machine of this.machines) await machine.kill();
    await this.nc.close();
    await this.server[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

const fleetOptions: FleetPoolOptions = { lease: LEASE };
/** The timeout is what the client loses where a server dies as it connects: by default as long as many of the calls here may take. */
const patient: ConnectionOptions = {
  maxReconnectAttempts: -1,
  reconnectTimeWait: 50,
  reconnectJitter: 0,
  timeout: 5_000,
};

interface MachineOptions {
  readonly connection: ConnectionOptions;
  readonly diary: string;
  readonly replicas: number;
  readonly options: JoinOptions;
  readonly fleet: FleetPoolOptions;
}

/** A primary of its own: nats/primary.mjs. */
export class Machine {
  readonly process: ChildProcess;
  readonly exited: Promise<unknown[]>;
  readonly #said = new Map<string, unknown>();

  constructor(options: MachineOptions) {
    const script = fileURLToPath(fixture('nats/primary.mjs'));
    this.process = fork(script, [JSON.stringify(options)], { execArgv: [] });
    this.exited = once(this.process, 'exit');
    this.process.on('message', (message: object) => {
      for (const [name, value] of Object.entries(message)) this.#said.set(name, value);
    });
  }

  get pid(): number {
    return this.process.pid as number;
  }

  /** Of its replicas, as it was ready. */
  get replicas(): readonly number[] {
    return this.#said.get('pids') as number[];
  }

  get isThere(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  async says(name: string): Promise<void> {
    await until(
      () => this.#said.has(name) || !this.isThere,
      () => `'${name}' from machine ${this.pid}, which said ${[...this.#said.keys()]}`,
    );
    if (!this.#said.has(name)) throw new Error(`machine ${this.pid} has ended before '${name}'`);
  }

  /** Has it do what nats/primary.mjs can. */
  ask(message: object): void {
    this.process.send(message);
  }

  suspend(): Promise<void> {
    return stopped(this.pid);
  }

  resume(): void {
    this.process.kill('SIGCONT');
  }

  /** The machine is gone at once, with its replicas. */
  async kill(): Promise<void> {
    if (!this.isThere) return;
    this.process.kill('SIGKILL');
    await this.exited;
  }

  /** As a deploy ends it. @returns how it ended: its exit code, or its signal. */
  async stop(): Promise<unknown> {
    this.process.kill('SIGTERM');
    const [code, signal] = await this.exited;
    return code ?? signal;
  }
}

/** What became of calls: how often each outcome came. `settled` fails where an error was none of ours. */
export class Outcomes {
  readonly counts = new Map<'done' | ErrorCode, number>();
  /** The ids of those that resolved. */
  readonly done: string[] = [];
  readonly #open = new Set<Promise<void>>();
  readonly #untyped: unknown[] = [];

  add(call: Promise<unknown>): void {
    const settled = call.then(
      (reply) => {
        this.done.push((reply as Done).id);
        this.#count('done');
      },
      (error) => {
        if (error instanceof BallermannError) this.#count(error.code);
        else this.#untyped.push(error);
      },
    );
    this.#open.add(settled);
    void settled.finally(() => this.#open.delete(settled));
  }

  /** Calls the pool over and over, so many at a time, until the load is ended. */
  load(
    fleet: Fleet,
    options: { idempotent: boolean; timeout?: number; inFlight?: number; ms?: number },
  ): { end(): Promise<void> } {
    const { inFlight = 16, ms = 5, ...call } = options;
    let goesOn = true;
    const callers = Array.from({ length: inFlight }, async () => {
      // Where a test has failed nobody ends its load: it would go round for ever, and nobody would hear what has failed.
      while (goesOn && !fleet.nc.isClosed()) {
        const one = fleet.pool.call(fleet.work(ms), call);
        this.add(one);
        await one.catch(() => {});
      }
    });
    return {
      end: async () => {
        goesOn = false;
        await Promise.all(callers);
        await this.settled();
      },
    };
  }

  async settled(): Promise<void> {
    await Promise.all(this.#open);
    assert.equal(this.#untyped.map(String), []);
  }

  of(outcome: 'done' | ErrorCode): number {
    return this.counts.get(outcome) ?? 0;
  }

  get show(): string {
    return JSON.stringify(Object.fromEntries(this.counts));
  }

  #count(outcome: 'done' | ErrorCode): void {
    this.counts.set(outcome, (this.counts.get(outcome) ?? 0) + 1);
  }
}
