/** The admin server as probes, scrapers and programs see it, and whom it refuses. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { type AdminOptions, type Balancer, balance, call, type Supervisor } from 'ballermann';
import { collect } from 'ballermann/prometheus';
import * as client from 'prom-client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Listener } from '../support/feed.js';
import { next, rejects, start, until } from '../support/helpers.js';
import { type Answer, ask } from '../support/web.js';

const token = 'correct-horse-battery';
const secret = 'a-secret-of-the-environment';

interface Context {
  supervisor: Supervisor;
  pool: Balancer;
  get(path: string, headers?: Record<string, string>, method?: string): Promise<Answer>;
}

/** Two replicas, one pool, an admin server without a token. */
const test = suite<Context>('admin');

test.before(async (context) => {
  context.supervisor = await start({ name: 'shop "1"', admin: 0, env: { SECRET: secret }, log: false });
  context.pool = await balance(context.supervisor, 'a pool');
  const { port } = context.supervisor.admin as URL;
  context.get = (path, headers = {}, method = 'GET') => ask(Number(port), path, { headers, method });
});

test.after(({ supervisor }) => supervisor.close());

test('wrong options are refused before anything starts', async () => {
  const cases: [admin: unknown, code: string, message: RegExp][] = [
    ['9090', 'ERR_INVALID_ARG_TYPE', /^options\.admin must be an object; got '9090'/],
    [null, 'ERR_INVALID_ARG_TYPE', /options\.admin/],
    [-1, 'ERR_OUT_OF_RANGE', /^options\.admin must be an integer from 0 to 65535; got -1/],
    [65_536, 'ERR_OUT_OF_RANGE', /65536/],
    [1.5, 'ERR_OUT_OF_RANGE', /1\.5/],
    [{}, 'ERR_INVALID_ARG_TYPE', /^options\.admin\.port must be an integer/],
    [{ port: 0, hots: 'localhost' }, 'ERR_INVALID_ARG_TYPE', /options\.admin\.hots is no option/],
    [{ port: 0, host: 5 }, 'ERR_INVALID_ARG_TYPE', /options\.admin\.host/],
    [{ port: 0, host: '' }, 'ERR_OUT_OF_RANGE', /options\.admin\.host/],
    [{ port: 0, host: '0.0.0.0' }, 'ERR_OUT_OF_RANGE', /options\.admin\.token must be set.*0\.0\.0\.0/],
    [{ port: 0, host: '::' }, 'ERR_OUT_OF_RANGE', /options\.admin\.token must be set/],
    [{ port: 0, host: 'example.org' }, 'ERR_OUT_OF_RANGE', /options\.admin\.token must be set/],
    [{ port: 0, token: 'too-short' }, 'ERR_OUT_OF_RANGE', /16 to 256 printable.*length 9/],
    [{ port: 0, token: `${token} with spaces` }, 'ERR_OUT_OF_RANGE', /without spaces/],
    [{ port: 0, token: 'x'.repeat(257) }, 'ERR_OUT_OF_RANGE', /length 257/],
    [{ port: 0, token: 5 }, 'ERR_INVALID_ARG_TYPE', /options\.admin\.token/],
  ];
  for (const [admin, code, message] of cases) {
    const failure = await rejects(start({ admin: admin as AdminOptions }), code);
    assert.match(failure.message, message);
    assert.not.match(failure.message, /horse/); // errors are logged, so none shows a token
  }
});

test('a port that is taken is an error that says so, and nothing is started', async ({ supervisor }) => {
  const taken = Number(supervisor.admin?.port);
  const failure = await rejects(start({ admin: taken }), 'ERR_ADMIN_UNAVAILABLE');
  assert.match(failure.message, new RegExp(`127\\.0\\.0\\.1, port ${taken}: something else listens there`));
  assert.is((failure.cause as NodeJS.ErrnoException).code, 'EADDRINUSE');
});

test('/live and /ready say 200, and a window changes neither', async ({ pool, get }) => {
  const both = async (): Promise<unknown[]> => [(await get('/live')).body, (await get('/ready')).body];
  assert.equal(await both(), ['live\n', 'ready\n']);
  await pool.applyWithin(async () => assert.equal(await both(), ['live\n', 'ready\n']));
});

test('/status is metrics() as JSON', async ({ supervisor, get }) => {
  await call('a pool', 1);
  const { status, headers, body } = await get('/status');
  assert.is(status, 200);
  assert.is(headers['content-type'], 'application/json');
  const shown = JSON.parse(body);
  const { name, replicas, pools } = supervisor.metrics();
  assert.is(shown.name, name);
  assert.equal(
    shown.replicas.map(({ pid }: { pid: number }) => pid),
    replicas.map(({ pid }) => pid),
  );
  assert.is(shown.pools[0].sent, pools[0]?.sent);
});

/** The series of an exposition, in some order, without their values. */
function series(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name, labels] = /^(\w+)\{(.*)\} \S+$/.exec(line) as unknown as [string, string, string];
      return `${name} ${labels.split(/,(?=\w+=)/).sort()}`;
    })
    .sort();
}

test('/metrics has every series, help and type that ballermann/prometheus exports', async ({
  supervisor,
  get,
}) => {
  const register = new client.Registry();
  collect(client as never, { register: register as never, supervisors: [supervisor] });
  const { headers, body } = await get('/metrics');
  assert.is(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  const exported = await register.metrics();
  assert.equal(series(body), series(exported));
  const heads = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('#'));
  assert.equal(heads(body).sort(), heads(exported).sort());
  assert.match(body, /supervisor="shop \\"1\\"",pool="a pool"/);
});

test('/events begins with what has happened and how all is, and then tells of events at once', async ({
  supervisor,
  pool,
}) => {
  using listener = await Listener.of(supervisor.admin as URL);
  const [first] = await listener.frames(2);
  assert.is(first?.event, 'history');
  const windows = async (count: number): Promise<void> => {
    await pool.applyWithin(() => {});
    await until(() => listener.ofKind('resume').length >= count, 'the end of the window');
  };
  const before = listener.ofKind('pause').length;
  await windows(before + 1);
  const [pause] = listener.ofKind('pause').slice(-1);
  assert.is(pause?.pool, 'a pool');
  const [victim] = supervisor.children();
  const up = next(supervisor, 'up');
  process.kill(victim?.pid as number, 'SIGKILL');
  const killedAt = performance.timeOrigin + performance.now();
  await until(() => listener.ofKind('down').length > 0, 'the death');
  const [down] = listener.ofKind('down');
  assert.ok(performance.timeOrigin + performance.now() - killedAt < 1_000);
  assert.is(down?.replica, victim?.id);
  assert.match(down?.text ?? '', /replica 0 was ended by SIGKILL.*restart/);
  // The snapshot right behind it already knows.
  const counted = await until(
    () => listener.snapshots().find(({ metrics }) => metrics.replicas[0]?.restarts.signal === 1),
    'the restart in a snapshot',
  );
  assert.ok((counted?.at as number) - (down?.at as number) < 1_000);
  await up;
});

test('a stream has a snapshot every half second', async ({ supervisor }) => {
  using listener = await Listener.of(supervisor.admin as URL);
  await until(() => listener.snapshots().length >= 4, '4 snapshots');
  const times = listener.snapshots().map(({ at }) => at);
  const gaps = times.slice(1).map((at, i) => at - (times[i] as number));
  assert.ok(
    gaps.every((gap) => gap > 20 && gap < 2_000),
    gaps.join(),
  );
});

test('so many may watch, and whoever leaves makes room', async ({ supervisor }) => {
  const url = supervisor.admin as URL;
  const listeners = await Promise.all(Array.from({ length: 16 }, () => Listener.of(url)));
  const refused = await ask(Number(url.port), '/events');
  assert.is(refused.status, 503);
  assert.is(refused.headers['retry-after'], '5');
  listeners.pop()?.[Symbol.dispose]();
  await until(async () => {
    try {
      listeners.push(await Listener.of(url));
      return true;
    } catch {
      return false;
    }
  }, 'a free place');
  for (const listener of listeners) listener[Symbol.dispose]();
});

test('the page comes with a policy that allows its own style and script alone', async ({ get }) => {
  const { status, headers, body } = await get('/');
  assert.is(status, 200);
  const policy = String(headers['content-security-policy']);
  assert.match(
    policy,
    /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self';/,
  );
  assert.match(policy, /frame-ancestors 'none'/);
  assert.not.match(policy, /unsafe|\*/);
  assert.not.match(body, /(src|href)="(https?:)?\/\//);
});

test('every answer forbids sniffing, keeping and use by other sites', async ({ get }) => {
  for (const path of ['/', '/live', '/ready', '/metrics', '/status', '/none']) {
    const { headers } = await get(path);
    assert.is(headers['x-content-type-options'], 'nosniff', path);
    assert.is(headers['cache-control'], 'no-store', path);
    assert.is(headers['cross-origin-resource-policy'], 'same-origin', path);
  }
});

test('on loopback, a Host header that names another machine is refused (DNS rebinding)', async ({ get }) => {
  const own = ['localhost', 'LOCALHOST:1', '127.0.0.1', '127.0.0.1:9090', '127.1.2.3', '[::1]', '[::1]:80'];
  for (const host of own) assert.is((await get('/live', { host })).status, 200, host);
  const others = [
    'example.org',
    'localhost.example.org',
    '127.0.0.1.example.org',
    '127.evil',
    '10.0.0.1',
    '[::2]',
  ];
  for (const host of others)
    for (const path of ['/', '/status', '/live', '/none'])
      assert.is((await get(path, { host })).status, 403, host);
});

test('pages of other sites get nothing but a link to the page', async ({ get }) => {
  const from = (site: string, mode: string): Record<string, string> => ({
    'sec-fetch-site': site,
    'sec-fetch-mode': mode,
  });
  for (const path of ['/events', '/status', '/']) {
    assert.is((await get(path, from('cross-site', 'no-cors'))).status, 403, path);
    assert.is((await get(path, from('cross-site', 'cors'))).status, 403, path);
  }
  assert.is((await get('/', from('cross-site', 'navigate'))).status, 200);
  assert.is((await get('/status', from('same-origin', 'cors'))).status, 200);
});

test('only GET and HEAD are answered, and only at paths that there are', async ({ get }) => {
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    const { status, headers } = await get('/status', {}, method);
    assert.equal([status, headers['allow']], [405, 'GET, HEAD'], method);
  }
  for (const path of ['/', '/live', '/ready', '/metrics', '/status', '/events']) {
    const { status, body } = await get(path, {}, 'HEAD');
    assert.equal([status, body], [200, ''], path);
  }
  const none = [
    '/status/',
    '//',
    '/..',
    '/__proto__',
    '/toString',
    '/constructor',
    '/page.html',
    '/live%00',
    '*',
  ];
  for (const path of none) assert.is((await get(path)).status, 404, path);
});

test('requests and connections are limited', async ({ supervisor, get }) => {
  assert.is((await get('/live', { 'x-long': 'x'.repeat(9_000) })).status, 431);
  const sockets: Socket[] = [];
  let dropped = 0;
  for (let i = 0; i < 80; i++)
    sockets.push(
      connect(Number(supervisor.admin?.port), '127.0.0.1')
        .on('close', () => dropped++)
        .on('error', () => {}),
    );
  await until(() => dropped >= 16, 'the connections above the limit to be closed');
  for (const socket of sockets) socket.destroy();
  await until(async () => (await get('/live').catch(() => undefined))?.status === 200, 'room again');
});

test('a failure in an answer or a snapshot ends nothing', async ({ supervisor, pool, get }) => {
  using listener = await Listener.of(supervisor.admin as URL);
  supervisor.metrics = () => {
    throw new Error('on request');
  };
  try {
    assert.equal([(await get('/status')).status, (await get('/ready')).status], [500, 500]);
    await pool.applyWithin(() => {}, 100); // so long that a snapshot is wanted
    await until(() => listener.ofKind('resume').length === 1, 'the end of the window');
  } finally {
    Reflect.deleteProperty(supervisor, 'metrics');
  }
  const count = listener.snapshots().length;
  await until(() => listener.snapshots().length > count, 'snapshots again');
  assert.is((await get('/status')).status, 200);
});

test('nothing shows the environment or a token', async ({ supervisor, get }) => {
  using listener = await Listener.of(supervisor.admin as URL);
  await listener.frames(2);
  const all = [
    listener.text,
    ...(await Promise.all(['/', '/status', '/metrics'].map(async (path) => (await get(path)).body))),
  ];
  for (const text of all) assert.not.match(text, new RegExp(`${secret}|SECRET`));
});

test.run();

/** One replica for each. */
const alone = suite('admin, alone');

alone('with a token: as Bearer, or once in the address and then by a cookie', async () => {
  await using supervisor = await start({ replicas: 1, admin: { port: 0, token } });
  const port = Number(supervisor.admin?.port);
  const get = (path: string, headers: Record<string, string> = {}): Promise<Answer> =>
    ask(port, path, { headers });
  for (const path of [
    '/',
    '/status',
    '/metrics',
    '/events',
    '/none',
    '/?token=',
    `/?token=${token}x`,
    `/status?token=${token}`,
  ]) {
    const { status, headers, body } = await get(path);
    assert.is(status, 401, path);
    assert.match(String(headers['www-authenticate']), /^Bearer/);
    assert.match(body, /Authorization: Bearer TOKEN/);
  }
  assert.equal([(await get('/live')).status, (await get('/ready')).status], [200, 200]);

  assert.is((await get('/status', { authorization: `Bearer ${token}` })).status, 200);
  assert.is((await get('/status', { authorization: `bearer ${token}` })).status, 200);
  for (const authorization of [
    `Bearer ${token}x`,
    `Bearer ${token.slice(1)}`,
    `Basic ${token}`,
    'Bearer ',
    token,
  ])
    assert.is((await get('/status', { authorization })).status, 401, authorization);

  const { status, headers } = await get(`/?token=${token}`);
  assert.equal([status, headers['location']], [303, './']);
  const [cookie] = headers['set-cookie'] as [string];
  assert.match(cookie, /; HttpOnly; SameSite=Lax; Path=\/$/);
  assert.not.match(cookie, new RegExp(token));
  const session = cookie.split(';')[0] as string;
  for (const path of ['/', '/status'])
    assert.is((await get(path, { cookie: `a=b; ${session}` })).status, 200);
  for (const wrong of [
    `${session}0`,
    session.slice(0, -1),
    `${session.split('=')[0]}=${token}`,
    `x${session}`,
  ])
    assert.is((await get('/status', { cookie: wrong })).status, 401, wrong);
});

alone(
  'while replicas start, /live is 200 and /ready says why not; a failed start frees the port',
  async () => {
    const port = await freePort();
    const starting = start({ replicas: 1, admin: port, waitReady: 'ready', readyTimeout: 1_200, log: false });
    const failed = rejects(starting, 'ERR_START_FAILED');
    const live = await until(() => ask(port, '/live').catch(() => undefined), 'the admin server');
    assert.is(live?.status, 200);
    const ready = await ask(port, '/ready');
    assert.equal([ready.status, ready.body], [503, 'not ready: starting\n']);
    await failed;
    assert.is(await portIsFree(port), true);
  },
);

alone('while it closes, /ready says so, and then the port is free at once', async () => {
  const supervisor = await start({ replicas: 1, admin: 0 });
  await balance(supervisor, 'closing');
  const port = Number(supervisor.admin?.port);
  using listener = await Listener.of(supervisor.admin as URL);
  const ended = new AbortController();
  const hanging = call('closing', { op: 'hang' }, { signal: ended.signal }).catch(() => {});
  await until(() => supervisor.metrics().replicas[0]?.unfinished === 1, 'the call');
  const closed = supervisor.close();
  const ready = await ask(port, '/ready');
  assert.equal([ready.status, ready.body], [503, 'not ready: closing\n']);
  assert.is((await ask(port, '/live')).status, 200);
  ended.abort();
  await hanging;
  await closed;
  assert.is(await portIsFree(port), true);
  await until(() => listener.ended, 'the end of the stream');
  assert.is(listener.ofKind('close').length, 1);
});

alone('without a replica that turns, it is not ready', async () => {
  await using supervisor = await start({ replicas: 1, admin: 0, blockedAfter: 50, log: false });
  const pool = await balance(supervisor, 'blocking');
  const blocked = next(supervisor, 'blocked');
  const spinning = call('blocking', { op: 'spin', ms: 1_000 });
  await blocked;
  const { status, body } = await ask(Number(supervisor.admin?.port), '/ready');
  assert.equal([status, body], [503, 'not ready: every replica is blocked\n']);
  await spinning;
  await pool.close();
});

alone.run();

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** At once, without waiting for anything. */
async function portIsFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
