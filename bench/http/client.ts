/** A process that asks a server as it is told, with as little work of its own as Node allows, and checks each answer. */

import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '../figures.js';

export interface Load {
  readonly port: number;
  readonly clients: number;
  readonly keepAlive: boolean;
  readonly rate?: number;
  readonly ms: number;
}

export interface Outcome {
  readonly perSecond: number;
  /** ms. */
  readonly p99: number;
  readonly failed: number;
}

const HEAD = 'GET / HTTP/1.1\r\nHost: localhost\r\n';

process.on('message', async (load: Load) => {
  process.send?.(await run(load));
});

async function run(load: Load): Promise<Outcome> {
  const latencies: number[] = [];
  let failed = 0;
  const begin = performance.now();
  const end = begin + load.ms;
  const one = async (from: number, connection?: Connection): Promise<void> => {
    try {
      await (connection ?? new Connection(load.port, false)).ask();
      latencies.push(performance.now() - from);
    } catch {
      failed++;
    }
  };
  if (load.rate === undefined) {
    const client = async (): Promise<void> => {
      const connection = load.keepAlive ? new Connection(load.port, true) : undefined;
      while (performance.now() < end) await one(performance.now(), connection);
      connection?.close();
    };
    await Promise.all(Array.from({ length: load.clients }, client));
  } else {
    const running: Promise<void>[] = [];
    for (let due = begin; due < end; due += 1000 / load.rate) {
      await sleep(Math.max(0, due - performance.now()));
      running.push(one(due));
    }
    await Promise.all(running);
  }
  const seconds = (performance.now() - begin) / 1000;
  return { perSecond: latencies.length / seconds, p99: quantile(latencies, 0.99), failed };
}

class Connection {
  readonly #keepAlive: boolean;
  readonly #socket: Socket;
  #text = '';
  #settle: ((error?: Error) => void) | undefined;

  constructor(port: number, keepAlive: boolean) {
    this.#keepAlive = keepAlive;
    this.#socket = connect(port, '127.0.0.1').setNoDelay().setEncoding('latin1');
    this.#socket.on('data', (part: string) => {
      this.#text += part;
      if (this.#keepAlive && this.#text.endsWith('\r\n\r\nhello')) this.#answered();
    });
    this.#socket.on('error', (error) => this.#settle?.(error));
    this.#socket.on('close', () => this.#answered());
  }

  ask(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = (error) => (error === undefined ? resolve() : reject(error));
      this.#socket.write(`${HEAD}Connection: ${this.#keepAlive ? 'keep-alive' : 'close'}\r\n\r\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #answered(): void {
    const isRight = this.#text.startsWith('HTTP/1.1 200') && this.#text.endsWith('hello');
    this.#text = '';
    this.#settle?.(isRight ? undefined : new Error('a wrong answer'));
  }
}
