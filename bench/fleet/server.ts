/** The nats-server that is measured: with JetStream, on a free port of 127.0.0.1, and what it has counted. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const { findNatsServer, installNatsServer } = (await import(
  new URL('../../../scripts/lib/nats-server.js', import.meta.url).href
)) as { findNatsServer(): string | undefined; installNatsServer: string };
const found = findNatsServer();
if (found === undefined) throw new Error(`there is no nats-server here. Install: ${installNatsServer}`);
const path = found;

const TICK = 1_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })); // ms

interface Ports {
  readonly nats: [string];
  readonly monitoring: [string];
}

export interface Look {
  /** performance.now() */
  readonly at: number;
  /** Messages since it started. */
  readonly in: number;
  readonly out: number;
  /** ms of CPU since it started. */
  readonly cpu: number;
}

export class Server implements AsyncDisposable {
  static readonly version = execFileSync(path, ['--version'], { encoding: 'utf8' }).replace(/.*v/, '').trim();
  readonly #folder: string;
  readonly #process: ChildProcess;
  readonly #ports: Ports;

  private constructor(folder: string, child: ChildProcess, ports: Ports) {
    this.#folder = folder;
    this.#process = child;
    this.#ports = ports;
  }

  static async start(): Promise<Server> {
    const folder = mkdtempSync(join(tmpdir(), 'ballermann-bench-'));
    const args = ['-js', '-a', '127.0.0.1', '-p', '-1', '-m', '-1', '-sd', folder];
    const child = spawn(path, [...args, '--ports_file_dir', folder], { stdio: 'ignore' });
    process.once('exit', () => child.kill('SIGKILL'));
    const file = join(folder, `nats-server_${child.pid}.ports`);
    for (let i = 0; i < 500; i++) {
      await sleep(10);
      try {
        return new Server(folder, child, JSON.parse(readFileSync(file, 'utf8')) as Ports);
      } catch {} // not there yet, or in part
    }
    throw new Error('nats-server did not start within 5 s');
  }

  get url(): string {
    return this.#ports.nats[0];
  }

  async look(): Promise<Look> {
    const response = await fetch(new URL('/varz', this.#ports.monitoring[0]));
    const counted = (await response.json()) as { in_msgs: number; out_msgs: number };
    const stat = readFileSync(`/proc/${this.#process.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const cpu = (Number(fields[11]) + Number(fields[12])) * TICK;
    return { at: performance.now(), in: counted.in_msgs, out: counted.out_msgs, cpu };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
