/** A real nats-server for the tests: on a free port of 127.0.0.1, with a store of its own. It never outlives the test file. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { stopped } from './failing.js';
import { fixture, until } from './helpers.js';
import { Folder } from './processes.js';

const { findNatsServer, installNatsServer } = (await import(
  new URL('../../../scripts/lib/nats-server.js', import.meta.url).href
)) as { findNatsServer(): string | undefined; installNatsServer: string };
const path = findNatsServer();

/** Whoever has no nats-server skips these tests; CI has to have it. */
export const isMissing = path === undefined && !process.env['CI'];
if (path === undefined) {
  const consequence = isMissing ? 'its tests are skipped' : 'its tests fail';
  console.log(`there is no nats-server here, ${consequence}. Install: ${installNatsServer}`);
}

/** The certificate of the tests' servers signs itself: a client that trusts it takes it as its authority. */
export const certificate = fileURLToPath(fixture('servers/cert.pem'));
const key = fileURLToPath(fixture('servers/key.pem'));

export interface NatsServerOptions {
  /** Whether it has streams and key-value buckets. @default true */
  jetstream?: boolean;
  /** What each client has to say. */
  token?: string;
  /** Whether it speaks TLS alone, by `certificate`. */
  tls?: boolean;
  /** Bytes; a larger message ends its sender's connection. @default 1 MiB */
  maxPayload?: number;
  /** Whether it tells by HTTP what it does: `monitor()`. */
  monitoring?: boolean;
  /** More of its configuration, in its own words: `{ authorization: { users: […] } }`. */
  config?: Readonly<Record<string, unknown>>;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class NatsServer implements AsyncDisposable {
  readonly #folder = new Folder();
  readonly #options: NatsServerOptions;
  readonly #file = this.#folder.at('nats.json');
  /** Chosen by the system at the first start, the same after each restart. */
  #port = -1;
  #monitoringPort = -1;
  #process: ChildProcess | undefined;
  #said: string[] = [];

  private constructor(options: NatsServerOptions) {
    this.#options = { ...options };
  }

  /** Resolves when clients can connect. */
  static async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    const server = new NatsServer(options);
    try {
      await server.start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `${this.#options.tls ? 'tls' : 'nats'}://127.0.0.1:${this.#port}`;
  }

  /** All that it has written to its log since it started last. */
  get log(): string {
    return this.#said.join('\n');
  }

  /** Starts it again, with the port and the store that it had. */
  async start(): Promise<void> {
    if (path === undefined) throw new Error(`there is no nats-server here. Install: ${installNatsServer}`);
    if (this.#process !== undefined) throw new Error('this nats-server runs');
    writeFileSync(this.#file, JSON.stringify(this.#configuration()));
    const args = ['--config', this.#file, '--ports_file_dir', this.#folder.path];
    const child = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    running.add(child);
    child.once('exit', () => {
      running.delete(child);
      if (this.#process === child) this.#process = undefined;
    });
    this.#process = child;
    this.#said = [];
    const lines = createInterface({ input: child.stderr as Readable }).on('line', (line) =>
      this.#said.push(line),
    );
    await new Promise<void>((resolve, reject) => {
      lines.on('line', (line) => {
        if (line.includes('Server is ready')) resolve();
      });
      lines.once('close', () => reject(new Error(`nats-server ended before it was ready:\n${this.log}`)));
      child.once('error', reject);
    });
    // It is ready a moment before that file is there.
    await until(() => this.#readPorts(child.pid as number), 'the ports of nats-server');
  }

  /** Ends it in an orderly way: its clients are disconnected, its store is kept. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** Ends it at once; its store is kept as it is. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** Kills it and starts it again, with the port and the store that it had, and all options but these. */
  async restart(options: NatsServerOptions = {}): Promise<void> {
    await this.kill();
    Object.assign(this.#options, options);
    await this.start();
  }

  /** The same, without what it had stored. */
  async restartEmpty(): Promise<void> {
    await this.kill();
    rmSync(this.#folder.at('store'), { recursive: true, force: true });
    await this.start();
  }

  /** Its sockets stay, and nobody reads them: a network that has gone silent. */
  async suspend(): Promise<void> {
    await stopped(this.#process?.pid as number);
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  /** A page of its monitoring. */
  async monitor<T = Record<string, unknown>>(page: string): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${this.#monitoringPort}/${page}`);
    return (await response.json()) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#folder[Symbol.dispose]();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    child.kill('SIGCONT');
    await exited;
  }

  #configuration(): Record<string, unknown> {
    const { jetstream = true, token, tls, maxPayload, monitoring, config } = this.#options;
    return {
      host: '127.0.0.1',
      port: this.#port,
      ...(jetstream && { jetstream: { store_dir: this.#folder.at('store') } }),
      ...(token !== undefined && { authorization: { token } }),
      ...(tls && { tls: { cert_file: certificate, key_file: key } }),
      ...(maxPayload !== undefined && { max_payload: maxPayload }),
      ...(monitoring && { http: `127.0.0.1:${this.#monitoringPort}` }),
      ...config,
    };
  }

  /** Its file of ports has each as an address. @returns whether it was there, and whole. */
  #readPorts(pid: number): boolean {
    try {
      const ports = JSON.parse(this.#folder.read(`nats-server_${pid}.ports`)) as {
        nats?: string[];
        monitoring?: string[];
      };
      const portOf = (addresses?: string[]) => Number(/:(\d+)$/.exec(addresses?.[0] ?? '')?.[1] ?? -1);
      this.#port = portOf(ports.nats);
      this.#monitoringPort = portOf(ports.monitoring);
      return this.#port > 0;
    } catch {
      return false;
    }
  }
}
