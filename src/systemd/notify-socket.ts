/** The socket of a service manager: what the environment says of it, and messages to it, in order, which nobody waits for. */

import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { addon } from '../memory/addon.js';

/** ms after which a socket that was full is tried again. */
const AGAIN = 100;

/** So many messages wait for it at most: the oldest is left out then. */
const MOST = 100;

/** What systemd tells a service by its environment. */
export interface ServiceEnvironment {
  /** Where messages go: a path, or '@' and an abstract name. */
  readonly address: string;
  /** ms within which systemd wants a sign of life, again and again; undefined where it wants none of this process. */
  readonly watchdog: number | undefined;
}

/**
 * Takes it out of the environment, so that no process that is started from now on speaks in the name of this one.
 * @returns undefined where no service manager listens.
 */
export function takeServiceEnvironment(env: NodeJS.ProcessEnv, pid: number): ServiceEnvironment | undefined {
  const { NOTIFY_SOCKET: address, WATCHDOG_USEC: usec, WATCHDOG_PID: watched } = env;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name];
  if (address === undefined || address === '') return undefined;
  const ms = Number(usec) / 1000;
  const isWatched = ms > 0 && Number.isFinite(ms) && (watched === undefined || Number(watched) === pid);
  return { address, watchdog: isWatched ? ms : undefined };
}

/** Of a message: READY=1 and the like. Line feeds would begin another field. */
export type Fields = Readonly<Record<string, string | number | bigint>>;

export class NotifySocket {
  readonly #address: string;
  readonly #failed: (why: string) => void;
  readonly #waiting: string[] = [];
  #hasFailed = false;

  /** @param failed is told once, where a message cannot be sent. */
  constructor(address: string, failed: (why: string) => void) {
    this.#address = address;
    this.#failed = failed;
  }

  /** Never throws, and never blocks. */
  send(fields: Fields): void {
    const lines = Object.entries(fields).map(
      ([name, value]) => `${name}=${String(value).replace(/\s+/g, ' ')}`,
    );
    this.#waiting.push(lines.join('\n'));
    if (this.#waiting.length > MOST) this.#waiting.shift();
    if (this.#waiting.length === 1) this.#flush();
  }

  readonly #flush = (): void => {
    while (this.#waiting.length > 0) {
      const error = addon().notify(this.#address, this.#waiting[0] as string);
      if (error === -constants.errno.EAGAIN) {
        setTimeout(this.#flush, AGAIN).unref();
        return;
      }
      this.#waiting.shift();
      if (error !== 0) this.#fail(getSystemErrorName(error));
    }
  };

  #fail(why: string): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#failed(`the service manager's socket ${this.#address} (NOTIFY_SOCKET) takes no message: ${why}`);
  }
}
