/** The admin server: an HTTP server in the primary that shows how a supervisor is, to probes, scrapers, programs and people. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BallermannError } from '../errors.js';
import type { SupervisorMetrics } from '../primary/metrics/supervisor-metrics.js';
import type { Balancer } from '../primary/pools/balancer.js';
import type { AdminSettings } from '../primary/supervision/admin-options.js';
import type { Supervisor } from '../primary/supervision/supervisor.js';
import { Access, type Refusal } from './access.js';
import { EXPOSITION_TYPE, exposition } from './exposition.js';
import { Feed } from './feed.js';
import { News, now } from './news.js';
import { type Page, readPage } from './page.js';

/** ms and bytes: nobody who asks has much to send. */
const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: 8_192,
};
const MOST_CONNECTIONS = 64;

const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
};
const TEXT = 'text/plain; charset=utf-8';

/** They may be asked without the token: a probe cannot always send a header, and what they say is a word. */
const PROBES = ['/live', '/ready'];

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

export class Admin {
  readonly #supervisor: Supervisor;
  readonly #access: Access;
  readonly #page: Page;
  readonly #server: Server;
  readonly #feed: Feed;
  readonly #news: News;

  readonly #answers: Readonly<Record<string, Answer>> = {
    '/': (response) => this.#showPage(response),
    '/live': (response) => send(response, 200, 'live\n'),
    '/ready': (response) => {
      const why = notReady(this.#metrics());
      if (why === undefined) send(response, 200, 'ready\n');
      else send(response, 503, `not ready: ${why}\n`);
    },
    '/metrics': (response) => send(response, 200, exposition(this.#metrics()), EXPOSITION_TYPE),
    '/status': (response) =>
      send(response, 200, `${JSON.stringify(this.#metrics(), undefined, 2)}\n`, 'application/json'),
    '/events': (response, request) => this.#stream(response, request),
  };

  private constructor(supervisor: Supervisor, settings: AdminSettings) {
    this.#supervisor = supervisor;
    this.#access = new Access(settings);
    this.#page = readPage();
    this.#news = new News(supervisor, (item) => this.#feed.tell('news', item));
    this.#feed = new Feed(() => this.#snapshot());
    this.#server = createServer(LIMITS, (request, response) => this.#answer(request, response));
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /** Resolves when it listens. @throws where it cannot: the port is taken, or the host is none of this machine. */
  static async start(supervisor: Supervisor, settings: AdminSettings): Promise<Admin> {
    const admin = new Admin(supervisor, settings);
    const { host, port } = settings;
    try {
      admin.#server.listen(port, host);
      await once(admin.#server, 'listening');
    } catch (cause) {
      throw cannotListen(settings, cause as NodeJS.ErrnoException);
    }
    return admin;
  }

  get url(): URL {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return new URL(`http://${family === 'IPv6' ? `[${address}]` : address}:${port}/`);
  }

  /** For a new pool of the supervisor. */
  follow(pool: Balancer): void {
    this.#news.follow(pool);
  }

  /** Stops listening at once, and ends every connection when what was written to it has left. */
  close(): void {
    this.#feed.close();
    this.#server.close();
    setImmediate(() => this.#server.closeAllConnections());
  }

  #metrics(): SupervisorMetrics {
    return this.#supervisor.metrics();
  }

  #snapshot(): { at: number; metrics: SupervisorMetrics } | undefined {
    try {
      return { at: now(), metrics: this.#metrics() };
    } catch (error) {
      this.#supervisor.reports.callbackFailed('the admin server', error);
      return undefined;
    }
  }

  /** Whatever fails here, the primary goes on. */
  #answer(request: IncomingMessage, response: ServerResponse): void {
    try {
      this.#route(request, response);
    } catch (error) {
      this.#supervisor.reports.callbackFailed(`the admin server, at ${request.url},`, error);
      if (response.headersSent) response.destroy();
      else send(response, 500, 'This has failed; the log says why.\n');
    }
  }

  #route(request: IncomingMessage, response: ServerResponse): void {
    const refuse = ({ status, text }: Refusal): void => send(response, status, `${text}\n`);
    const foreign = this.#access.foreign(request);
    if (foreign !== undefined) return refuse(foreign);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return send(response, 405, 'Only GET and HEAD are answered.\n');
    }
    const [path, query] = (request.url ?? '').split('?', 2) as [string, string | undefined];
    const shown = path === '/' ? new URLSearchParams(query).get('token') : null;
    const cookie = shown === null ? undefined : this.#access.cookieFor(request, shown);
    if (cookie !== undefined) {
      // Out of the address, which is shown and kept.
      response.setHeader('set-cookie', cookie).setHeader('location', './');
      return send(response, 303, 'Go on without the token in the address.\n');
    }
    const unauthorized = PROBES.includes(path) ? undefined : this.#access.unauthorized(request);
    if (unauthorized !== undefined) {
      response.setHeader('www-authenticate', 'Bearer realm="ballermann admin"');
      return refuse(unauthorized);
    }
    if (Object.hasOwn(this.#answers, path)) return (this.#answers[path] as Answer)(response, request);
    send(response, 404, `There are ${Object.keys(this.#answers).join(', ')}.\n`);
  }

  #showPage(response: ServerResponse): void {
    response.setHeader('content-security-policy', this.#page.policy);
    send(response, 200, this.#page.html, 'text/html; charset=utf-8');
  }

  #stream(response: ServerResponse, { method }: IncomingMessage): void {
    if (this.#feed.isFull) {
      response.setHeader('retry-after', 5);
      return send(response, 503, 'As many as may watch do so already.\n');
    }
    response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
    if (method === 'HEAD') response.end();
    else this.#feed.add(response, this.#news.items);
  }
}

function send(response: ServerResponse, status: number, body: string | Buffer, type = TEXT): void {
  response.writeHead(status, { ...HEADERS, 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/** Why a load balancer should send nothing here; undefined where it may. A window is no reason: requests wait for its end. */
function notReady({ state, replicas, pools }: SupervisorMetrics): string | undefined {
  if (state !== 'running') return state;
  if (!replicas.some((replica) => replica.state === 'up')) return 'no replica is up';
  if (!replicas.some((replica) => replica.state === 'up' && !replica.blocked))
    return 'every replica is blocked';
  if (pools.length > 0 && !pools.some(({ alive }) => alive > 0)) return 'no pool has a replica';
  return undefined;
}

function cannotListen({ host, port }: AdminSettings, cause: NodeJS.ErrnoException): BallermannError {
  const why =
    cause.code === 'EADDRINUSE' ? 'something else listens there: choose another port' : cause.message;
  const text = `the admin server cannot listen on ${host}, port ${port}: ${why}`;
  return new BallermannError('ERR_ADMIN_UNAVAILABLE', text, { cause });
}
