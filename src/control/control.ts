/** The option `control`: a supervisor that the command `ballermann` can reach, from its start to its end. */

import type { Supervisor } from '../primary/supervision/supervisor.js';
import { ControlledSupervisor, type Ping } from './controlled.js';
import { ControlServer } from './server.js';

export class Control {
  readonly #server: ControlServer;
  readonly #ping: Ping;

  /** Takes the name, before there is a supervisor. @throws as ControlServer.open. */
  static async open(name: string, ping: Ping): Promise<Control> {
    return new Control(await ControlServer.open(name), ping);
  }

  private constructor(server: ControlServer, ping: Ping) {
    this.#server = server;
    this.#ping = ping;
  }

  serve(supervisor: Supervisor): void {
    this.#server.serve(new ControlledSupervisor(supervisor, this.#ping));
    supervisor.attached.add(() => this.#server.close(supervisor.ended as Error));
  }
}
