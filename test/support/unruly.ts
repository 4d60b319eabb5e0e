/** One replica of servers/unruly.mjs: several servers, windows over them, and whether all is well at the end. */

import { type Balancer, balance, ping, type Supervisor, type SupervisorOptions, supervise } from 'ballermann';
import * as assert from 'uvu/assert';
import { type OpenWindow, openWindow } from './gate.js';
import { fixture, until } from './helpers.js';
import { Diary, Folder } from './processes.js';
import { secrets, slotWord } from './web.js';

export type Name = 'http' | 'both' | 'impatient' | 'compat' | 'streams' | 'sniffing' | 'duplex';

let pools = 0;

export class Unruly implements AsyncDisposable {
  readonly supervisor: Supervisor;
  readonly pool: Balancer;
  readonly diary: Diary;
  readonly ports: ReadonlyMap<string, number>;
  readonly #folder: Folder;

  private constructor(supervisor: Supervisor, pool: Balancer, folder: Folder, ports: Map<string, number>) {
    this.supervisor = supervisor;
    this.pool = pool;
    this.diary = new Diary(folder);
    this.ports = ports;
    this.#folder = folder;
  }

  /** Node hands connections over, so that they come in windows too. */
  static async serve({ env, ...options }: Partial<SupervisorOptions> = {}): Promise<Unruly> {
    const folder = new Folder();
    const diary = new Diary(folder);
    const supervisor = await supervise({
      exec: fixture('servers/unruly.mjs'),
      replicas: 1,
      listen: 'node',
      env: { DIARY: diary.file, ...secrets, ...env },
      ...options,
    });
    const line = await until(() => diary.read().find((each) => each.startsWith('listens ')), 'the ports');
    const ports = (line as string)
      .slice('listens '.length)
      .split(',')
      .map((pair) => pair.split(' ') as [string, string])
      .map(([name, port]): [string, number] => [name, Number(port)]);
    return new Unruly(supervisor, await balance(supervisor, `unruly ${pools++}`), folder, new Map(ports));
  }

  get pid(): number {
    return this.supervisor.children()[0]?.pid as number;
  }

  port(name: Name): number {
    return this.ports.get(name) as number;
  }

  /** A window that lasts until `end`. */
  window(): Promise<OpenWindow> {
    return openWindow(this.pool, (pid) => ping(pid, { timeout: 5_000 }));
  }

  /** Nobody has died, nothing is counted, a window by ping opens. */
  async isWell(): Promise<void> {
    const window = await this.window();
    assert.is(slotWord('slotRequests'), 0);
    await window.end();
    assert.is(this.supervisor.children()[0]?.incarnation, 1, 'the first replica lives');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close();
    await this.supervisor.close();
    this.#folder[Symbol.dispose]();
  }
}
