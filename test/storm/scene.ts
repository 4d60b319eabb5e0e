/** What the storm and the soak run on: supervised replicas of fixtures/storm.mjs, a pool over them, clients of HTTP. */

import cluster, { type Address, type Worker } from 'node:cluster';
import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { type Balancer, balance, type Supervisor, type SupervisorOptions, supervise } from 'ballermann';
import { fixture } from '../support/helpers.js';
import { Folder } from '../support/processes.js';
import type { Script } from './disturbances.js';
import { Http, type Settings } from './http.js';

/** What the replicas run; the fixture itself stays where it is. */
const SCRIPT = 'replica.mjs';

export class Scene implements AsyncDisposable {
  readonly supervisor: Supervisor;
  readonly pool: Balancer;
  readonly http: Http;
  readonly script: Script;
  readonly #folder: Folder;

  private constructor(folder: Folder, supervisor: Supervisor, pool: Balancer, http: Http) {
    this.#folder = folder;
    const [there, away] = [folder.at(SCRIPT), folder.at('away')];
    this.script = { remove: () => renameSync(there, away), putBack: () => renameSync(away, there) };
    this.supervisor = supervisor;
    this.pool = pool;
    this.http = http;
  }

  static async set(
    clients: Omit<Settings, 'port'>,
    options: Partial<SupervisorOptions> & { replicas: number },
  ): Promise<Scene> {
    const folder = new Folder();
    const listening = once(cluster, 'listening') as Promise<[Worker, Address]>;
    const supervisor = await supervise({
      exec: folder.script(SCRIPT, `import ${JSON.stringify(fixture('storm.mjs').href)};\n`),
      env: { NOTES: folder.at('notes') },
      execArgv: [],
      ...options,
    });
    const [, { port }] = await listening;
    const pool = await balance(supervisor, 'scene');
    return new Scene(folder, supervisor, pool, new Http({ ...clients, port }));
  }

  /** The file in which replicas write what has to outlive them. */
  get notes(): string {
    return this.#folder.at('notes');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.http[Symbol.asyncDispose]();
    await this.pool.close();
    await this.supervisor.close();
    this.#folder[Symbol.dispose]();
  }
}
