/**
 * The process that asks the servers, so that its work is not the primary's: clients that each keep one connection, and
 * as many that make one for each request. Without a rate each asks again as soon as it has its answer and has paused a
 * little; with one, so many requests a second begin, whatever the answers do.
 */

import { Agent, get, type IncomingHttpHeaders } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '../support/figures.js';
import type { Command, Failure, Latencies, Report, Settings } from './http.js';
import { Random } from './random.js';
import { now, overlaps } from './windows.js';

/** ms without an answer, after which a request has failed. */
const TIMEOUT = 10_000;

/** Failures that are told one by one; more are counted only. */
const TOLD = 10_000;

const settings = JSON.parse(process.argv[2] as string) as Settings;
const report: Report & { failures: Failure[] } = { answered: 0, failed: 0, failures: [], inWindow: 0 };
const latencies: number[] = [];
/** Begin and end of each handler's run, one after the other. */
const runs: number[] = [];
let isOver = true;
let asking: Promise<unknown> = Promise.resolve();

/** One client, and its connection if it keeps one. */
class Client {
  readonly #agent: Agent;
  readonly #random: Random;
  /** A time before the present connection was begun, and its port on this side. */
  #connectedAt = 0;
  #port = 0;
  /** When the handler of the last request was done. */
  #answeredAt = 0;

  constructor(index: number) {
    this.#agent = new Agent({ keepAlive: index % 2 === 0, maxSockets: 1 });
    this.#random = new Random(settings.seed, `client ${index}`);
  }

  async askOnAndOn(): Promise<void> {
    while (!isOver) {
      await this.ask();
      await sleep(this.#random.between(0, 20));
    }
  }

  /** Never rejects: tells `report`. */
  async ask(due = performance.now()): Promise<void> {
    const askedAt = now();
    let isReused = false;
    try {
      const headers = await new Promise<IncomingHttpHeaders>((resolve, reject) => {
        const { port } = settings;
        const path = `/${this.#random.between(0, 30)}`;
        const request = get({ host: '127.0.0.1', port, path, agent: this.#agent, timeout: TIMEOUT });
        request.on('socket', (socket) => {
          isReused = request.reusedSocket;
          if (isReused) return;
          this.#connectedAt = askedAt; // this event comes later than the connection, on a busy machine
          this.#port = 0;
          socket.once('connect', () => {
            this.#port = socket.localPort as number;
          });
        });
        request.on('response', (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (text) => {
            body += text;
          });
          response.on('error', reject);
          response.on('end', () => {
            const isRight = response.statusCode === 200 && body === 'hello';
            if (isRight) resolve(response.headers);
            else reject(new Error(`status ${response.statusCode}, '${body}'`));
          });
        });
        request.on('timeout', () => request.destroy(new Error('no answer in time')));
        request.on('error', reject);
      });
      this.#answered(headers);
      latencies.push(performance.now() - due);
    } catch (error) {
      report.failed++;
      if (report.failures.length === TOLD) return;
      const { code, message } = error as NodeJS.ErrnoException;
      report.failures.push({
        why: code ?? message,
        port: this.#port,
        connectedAt: this.#connectedAt,
        askedAt,
        failedAt: now(),
        idle: isReused ? askedAt - this.#answeredAt : undefined,
      });
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #answered(headers: IncomingHttpHeaders): void {
    const ended = Number(headers['x-ended']);
    report.answered++;
    runs.push(Number(headers['x-begun']), ended);
    this.#answeredAt = ended;
  }
}

const clients = Array.from({ length: settings.clients }, (_, index) => new Client(index));

/** Requests begin at even distances; a late turn of the event loop begins all that were due. */
async function askAtRate(rate: number): Promise<void> {
  const asked: Promise<void>[] = [];
  let due = performance.now();
  for (let turn = 0; !isOver; turn++) {
    await sleep(Math.max(0, due - performance.now()));
    asked.push((clients[turn % clients.length] as Client).ask(due));
    due += 1_000 / rate;
    if (asked.length > rate) await asked.shift(); // long answered, where all is well
  }
  await Promise.all(asked);
}

function quantiles(): Latencies {
  const taken = latencies.splice(0);
  return { count: taken.length, p50: quantile(taken, 0.5), p99: quantile(taken, 0.99) };
}

const commands: Record<Command[0], (command: Command) => unknown> = {
  begin: () => {
    isOver = false;
    const { rate } = settings;
    asking = rate === undefined ? Promise.all(clients.map((client) => client.askOnAndOn())) : askAtRate(rate);
  },
  pause: async () => {
    isOver = true;
    await asking;
  },
  latencies: quantiles,
  report: ([, windows = []]) => {
    for (let index = 0; index < runs.length; index += 2)
      if (overlaps(windows, runs[index] as number, runs[index + 1] as number)) report.inWindow++;
    return report;
  },
};

process.on('message', async (command: Command) => {
  process.send?.((await commands[command[0]](command)) ?? null);
});
process.on('SIGINT', () => {}); // a terminal sends it to all: whoever started this says when it ends
process.on('disconnect', () => process.exit());
