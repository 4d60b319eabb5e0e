/** Supervised servers of fixtures/servers/replica.mjs, and clients that show what became of each request. */

import cluster, { type Address, type Worker } from 'node:cluster';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, get, type IncomingHttpHeaders, type RequestOptions } from 'node:http';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  type IncomingHttpHeaders as Headers2,
} from 'node:http2';
import { get as getSecurely, Agent as SecureAgent } from 'node:https';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import autocannon, { type Instance, type Result } from 'autocannon';
import { type Balancer, balance, ping, type Supervisor, type SupervisorOptions, supervise } from 'ballermann';
import * as assert from 'uvu/assert';
import { ownSegment } from '#src/primary/replicas/slots.js';
import { type OpenWindow, openWindow } from './gate.js';
import { fixture, until } from './helpers.js';
import { Diary, Folder, later } from './processes.js';

export type Kind =
  | 'http'
  | 'https'
  | 'http2'
  | 'http2s'
  | 'streams'
  | 'front'
  | 'express'
  | 'fastify'
  | 'koa'
  | 'hono'
  | 'ws'
  | 'upgrade'
  | 'expect'
  | 'throws';

export const secrets = { KEY: path('servers/key.pem'), CERT: path('servers/cert.pem') };

function path(name: string): string {
  return fileURLToPath(fixture(name));
}

function isSecure(kind: Kind): boolean {
  return kind === 'https' || kind === 'http2s';
}

let pools = 0;

/**
 * Servers, a pool over them, and the files by which the test and they speak. All is ended by `await using`. There must
 * be one at a time: Node's cluster has one socket for all workers that listen on port 0.
 */
export class Web implements AsyncDisposable {
  readonly folder: Folder;
  readonly diary: Diary;
  readonly supervisor: Supervisor;
  readonly pool: Balancer;
  readonly port: number;
  readonly #windows: Promise<OpenWindow>[] = [];

  private constructor(folder: Folder, supervisor: Supervisor, pool: Balancer, port: number) {
    this.folder = folder;
    this.diary = new Diary(folder);
    this.supervisor = supervisor;
    this.pool = pool;
    this.port = port;
  }

  /** One replica unless told otherwise. */
  static async serve(kind: Kind, { env, ...options }: Partial<SupervisorOptions> = {}): Promise<Web> {
    const folder = new Folder();
    const listening = once(cluster, 'listening') as Promise<[Worker, Address]>;
    const supervisor = await supervise({
      exec: fixture('servers/replica.mjs'),
      replicas: 1,
      env: {
        KIND: kind,
        DIARY: new Diary(folder).file,
        GATE: folder.at('gate'),
        WINDOW: folder.at('window'),
        ...(isSecure(kind) ? secrets : {}),
        ...env,
      },
      ...options,
    });
    const [, { port }] = await listening;
    return new Web(folder, supervisor, await balance(supervisor, `web ${pools++}`), port);
  }

  pids(): number[] {
    return this.supervisor.children().map(({ pid }) => pid as number);
  }

  /** Opens a window in which nothing runs; it lasts until `end`. */
  window(): Promise<OpenWindow> {
    const window = later(openWindow(this.pool, (pid) => ping(pid)));
    this.#windows.push(window);
    return window;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Only a failed test leaves some of these.
    for (const window of this.#windows) void later(window.then((open) => open.end()));
    this.folder.open('gate');
    await this.pool.close();
    await this.supervisor.close();
    this.folder[Symbol.dispose]();
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A GET request, on a connection of its own unless there is an agent. */
export function ask(port: number, path = '/', options: RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = options.protocol === 'https:' ? getSecurely : get;
    const request = send({ port, path, host: '127.0.0.1', agent: false, ...options }, async (response) => {
      try {
        const { statusCode, headers } = response;
        resolve({ status: statusCode as number, headers, body: await text(response) });
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', reject);
  });
}

/** To connect by TLS. */
export const certificate = { ca: readFileSync(fixture('servers/cert.pem')) };

/** A client that keeps one connection. */
export class KeepAlive implements Disposable {
  readonly #agent: Agent;
  readonly #port: number;

  constructor(port: number, isSecure = false) {
    const options = { keepAlive: true, maxSockets: 1 };
    this.#agent = isSecure ? new SecureAgent({ ...options, ...certificate }) : new Agent(options);
    this.#port = port;
  }

  ask(path = '/'): Promise<Answer> {
    const protocol = this.#agent instanceof SecureAgent ? 'https:' : 'http:';
    return ask(this.#port, path, { agent: this.#agent, protocol });
  }

  /** Whether its connection is there, without a request on it. */
  get isIdle(): boolean {
    return Object.values(this.#agent.freeSockets).some((sockets) => (sockets?.length ?? 0) > 0);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** A client of HTTP/2 with one session. */
export class Session2 implements Disposable {
  readonly session: ClientHttp2Session;

  constructor(port: number, isSecure = false) {
    this.session = isSecure
      ? connectHttp2(`https://127.0.0.1:${port}`, certificate)
      : connectHttp2(`http://127.0.0.1:${port}`);
    this.session.on('error', () => {}); // each request tells of it
  }

  async ask(path = '/'): Promise<Answer> {
    const stream = this.session.request({ ':path': path });
    const closed = new AbortController(); // a stream may close without an answer and without an error
    stream.once('close', () => closed.abort(new Error(`closed without an answer, code ${stream.rstCode}`)));
    const responded = once(stream, 'response', closed) as Promise<[Headers2]>;
    const [[headers], body] = await Promise.all([responded, text(stream)]);
    return { status: Number(headers[':status']), headers, body };
  }

  [Symbol.dispose](): void {
    this.session.destroy();
  }
}

/** A connection on which a test writes bytes itself. */
export class Raw implements Disposable {
  readonly socket: Socket;
  /** All that has come. */
  received = '';
  ended = false;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket
      .setEncoding('utf8')
      .on('data', (part: string) => {
        this.received += part;
      })
      .on('end', () => {
        this.ended = true;
      })
      .on('error', () => {});
  }

  send(bytes: string): void {
    this.socket.write(bytes);
  }

  get(path: string, ...headers: string[]): void {
    this.send([`GET ${path} HTTP/1.1`, 'Host: localhost', ...headers, '', ''].join('\r\n'));
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** A word of the first replica's slot in the segment. */
export function slotWord(field: 'slotRequests' | 'slotBegun'): number {
  const { segment } = ownSegment();
  const { layout } = segment.addon;
  for (let slot = 1; slot < layout.slotCount; slot++) {
    if (segment.words[segment.slotWord(slot, layout.slotPid)] !== 0)
      return segment.words[segment.slotWord(slot, layout[field])] as number;
  }
  throw new Error('no slot is taken');
}

/** 100 connections that send as fast as they are answered, until `stop`. */
export function fullSpeed(port: number): { stop(): Promise<Result> } {
  let instance!: Instance;
  const result = new Promise<Result>((resolve, reject) => {
    const options = { url: `http://127.0.0.1:${port}`, connections: 100, duration: 60 };
    instance = autocannon(options, (error, results) => (error ? reject(error) : resolve(results)));
  });
  return {
    stop: () => {
      instance.stop?.();
      return result;
    },
  };
}

/** Balanced connections, and five windows in which nothing may begin; nothing fails. */
export async function windowsAtFullSpeed(kind: Kind): Promise<void> {
  await using web = await Web.serve(kind, { replicas: 2 });
  const load = fullSpeed(web.port);
  for (let i = 0; i < 5; i++) {
    const before = slotWord('slotBegun');
    await until(() => slotWord('slotBegun') !== before, 'requests between two windows');
    const window = await web.window();
    web.folder.open('window');
    const begun = slotWord('slotBegun');
    await sleep(10);
    assert.is(slotWord('slotBegun'), begun);
    web.folder.shut('window');
    await window.end();
  }
  const { errors, timeouts, non2xx } = await load.stop();
  assert.equal({ errors, timeouts, non2xx }, { errors: 0, timeouts: 0, non2xx: 0 });
}
