/** A service of systemd, with a stand-in for its socket: what it is told, in which order, and what it never does to the service. */

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addon } from '#src/memory/addon.js';
import { takeServiceEnvironment } from '#src/systemd/notify-socket.js';
import { stopped } from '../support/failing.js';
import { fixture, until } from '../support/helpers.js';
import { programsOf } from '../support/page.js';
import { Folder } from '../support/processes.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const page = `${root}docs/systemd.md`;

type Fields = Record<string, string>;

/** A process and the lines that it writes. Killed at the end of its `await using`. */
class Child implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly lines: string[] = [];
  readonly closed: Promise<void>;

  constructor(command: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const [program, ...args] = command as [string, ...string[]];
    this.process = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr])
      createInterface({ input: stream as NodeJS.ReadableStream }).on('line', (line) => this.lines.push(line));
    this.closed = new Promise((resolve) => this.process.once('close', () => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGKILL');
    await this.closed;
  }
}

/** The socket of systemd. */
class Manager extends Child {
  constructor(readonly address: string) {
    super(['python3', fileURLToPath(fixture('systemd/manager.py')), address]);
  }

  async bound(): Promise<void> {
    await until(() => this.lines.length > 0, 'the socket');
  }

  /** All messages, in order. */
  get messages(): Fields[] {
    return this.lines.slice(1).map((line) => JSON.parse(line));
  }

  /** Those with any of the fields. */
  having(...names: string[]): Fields[] {
    return this.messages.filter((message) => names.some((name) => name in message));
  }

  /** The `count`th message with that field. */
  async has(name: string, count = 1): Promise<Fields> {
    await until(
      () => this.having(name).length >= count,
      () => `${name} ${count} times in ${JSON.stringify(this.messages)}`,
    );
    return this.having(name)[count - 1] as Fields;
  }
}

/** The unit of the page, as lines of name and value. */
function unitOfPage(): Map<string, string> {
  const [, unit] = /^```ini app\.service\n([\s\S]*?)^```$/m.exec(readFileSync(page, 'utf8')) as unknown as [
    string,
    string,
  ];
  const fields = [...unit.matchAll(/^(\w+)=(.*)$/gm)];
  return new Map(fields.map(([, name, value]) => [name as string, value as string]));
}

/** The programs of the page in a folder of their own, where they find the package. */
function appOfPage(folder: Folder): string[] {
  const [program] = programsOf(page);
  assert.ok(program);
  for (const [name, text] of program?.files ?? [])
    folder.script(name, text.replaceAll("'ballermann'", `'${root}dist/index.js'`));
  const start = unitOfPage().get('ExecStart') ?? '';
  return start.replace('/usr/bin/node', process.execPath).replace('/srv/app/current', folder.path).split(' ');
}

test('the unit of the page tells that it is ready, reloads, lives and stops', async () => {
  using folder = new Folder();
  await using manager = new Manager(folder.at('notify'));
  await manager.bound();
  const began = process.hrtime.bigint();
  await using app = new Child(appOfPage(folder), {
    NOTIFY_SOCKET: manager.address,
    WATCHDOG_USEC: '100000',
    PORT: '0',
  });
  const ready = await manager.has('READY');
  assert.equal(ready, {
    READY: '1',
    MAINPID: `${app.process.pid}`,
    STATUS: 'server.mjs: serving, 2 of 2 replicas up',
  });
  await manager.has('WATCHDOG', 2);
  assert.is(unitOfPage().get('ExecReload'), '/bin/kill -HUP $MAINPID');
  process.kill(Number(ready['MAINPID']), 'SIGHUP');
  const reloading = await manager.has('RELOADING');
  const monotonic = BigInt(reloading['MONOTONIC_USEC'] as string) * 1000n;
  assert.ok(began < monotonic && monotonic < process.hrtime.bigint());
  await manager.has('READY', 2);
  app.process.kill('SIGTERM');
  await manager.has('STOPPING');
  await app.closed;
  assert.is(app.process.exitCode, 0);
  const names = manager
    .having('READY', 'RELOADING', 'STOPPING')
    .map((message) => Object.keys(message).find((name) => /^(READY|RELOADING|STOPPING)$/.test(name)));
  assert.equal(names, ['READY', 'RELOADING', 'READY', 'STOPPING']);
  // Sent before anything else: what is under way may take longer than the unit allows.
  for (const { EXTEND_TIMEOUT_USEC: usec } of manager.having('EXTEND_TIMEOUT_USEC'))
    assert.is(usec, '30000000');
  assert.ok(manager.having('EXTEND_TIMEOUT_USEC').length >= 3);
});

/** A primary that reloads badly at SIGUSR1, and says what it and its replicas have of the environment. */
const MAIN = `
import { supervise } from '${root}dist/index.js';
const names = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'];
const supervisor = await supervise({
  exec: new URL('replica.mjs', import.meta.url), replicas: 1, systemd: true,
  backoff: { initial: 600, max: 600 }, log: { info() {}, error() {}, warn: (_, text) => console.log(text) },
});
console.log('ready', JSON.stringify(names.map((name) => process.env[name] ?? null)));
console.log('up', supervisor.children()[0].pid);
supervisor.on('up', ({ pid }) => console.log('up', pid));
process.on('SIGUSR1', () => supervisor.reload({ exec: new URL('broken.mjs', import.meta.url) }).catch(() => {}));
`;
const REPLICA = `
import { handle } from '${root}dist/replica.js';
console.log('replica', JSON.stringify(Object.keys(process.env).filter((name) => /NOTIFY|WATCHDOG/.test(name))));
handle(() => 1);
`;

test('the watchdog is fed while the event loop turns and a replica can serve, and a failed reload is told', async () => {
  using folder = new Folder();
  const main = folder.script('main.mjs', MAIN);
  folder.script('replica.mjs', REPLICA);
  folder.script('broken.mjs', `throw new Error('broken\\nbuild')`);
  await using manager = new Manager(`@ballermann-test-${process.pid}`); // an abstract name
  await manager.bound();
  await using app = new Child([process.execPath, main], {
    NOTIFY_SOCKET: manager.address,
    WATCHDOG_USEC: '200000',
  });
  await manager.has('READY');
  await until(() => app.lines.some((line) => line.startsWith('ready')), 'ready');
  assert.ok(app.lines.includes('replica []'), `replicas have it: ${app.lines}`);
  assert.ok(app.lines.some((line) => line.startsWith('ready [null,null,null]')));

  const ups = (): string[] => app.lines.filter((line) => line.startsWith('up '));
  await until(() => ups().length > 0, 'the first replica');

  // The second failure in a row: the restart is put off by 300 ms or more, three periods of the watchdog.
  for (const count of [1, 2]) {
    process.kill(Number(ups().at(-1)?.split(' ')[1]), 'SIGKILL');
    await until(() => ups().length > count, 'its successor');
  }
  const status = (): string => manager.having('STATUS').at(-1)?.['STATUS'] ?? '';
  const fed = manager.having('WATCHDOG').length;
  await manager.has('WATCHDOG', fed + 1);
  let isServing = true;
  let hasStopped = false;
  for (const message of manager.messages.slice(manager.messages.findIndex((each) => 'READY' in each))) {
    if (message['STATUS'] !== undefined) isServing = message['STATUS'].includes('1 of 1');
    if (!isServing) hasStopped = true;
    assert.ok(isServing || !('WATCHDOG' in message), 'a sign of life while nobody could serve');
  }
  assert.ok(hasStopped);

  app.process.kill('SIGUSR1');
  await until(
    () => status().includes('the last reload failed'),
    () => `a failed reload in: ${status()}`,
  );
  assert.match(status(), /^replica\.mjs: serving, 1 of 1 replicas up; the last reload failed: /);
  const after = manager.messages.findIndex((message) => 'RELOADING' in message);
  assert.ok(manager.messages.slice(after).some((message) => 'READY' in message));
});

test('a full, a missing and a wrong socket do nothing to the service', async () => {
  using folder = new Folder();
  const main = folder.script('main.mjs', MAIN);
  folder.script('replica.mjs', REPLICA);
  const errors = ['relative', 'vsock:2:1234', '@nobody', `/${'x'.repeat(200)}`, ''].map((address) =>
    addon().notify(address, 'READY=1'),
  );
  const { ENOENT, ECONNREFUSED, ENAMETOOLONG } = constants.errno;
  assert.equal(errors.slice(0, 4), [-ENOENT, -ENOENT, -ECONNREFUSED, -ENAMETOOLONG]);
  assert.ok((errors[4] as number) < 0);
  {
    await using app = new Child([process.execPath, main], { NOTIFY_SOCKET: folder.at('nobody') });
    await until(() => app.lines.some((line) => line.startsWith('ready')), 'ready without a manager');
    const said = app.lines.filter((line) => line.includes('takes no message'));
    assert.is(said.length, 1, app.lines.join('\n'));
    assert.match(said[0] as string, /ENOENT/);
    app.process.kill('SIGTERM');
    await app.closed;
    assert.is(app.process.exitCode, 0);
  }

  await using manager = new Manager(folder.at('notify'));
  await manager.bound();
  assert.ok(statSync(manager.address).isSocket());
  await stopped(manager.process.pid as number);
  let result = 0;
  let sent = 0;
  for (; result === 0 && sent < 100_000; sent++) result = addon().notify(manager.address, `FILL=${sent}`);
  assert.ok(result < 0 && sent < 100_000, 'a full socket refuses at once');
  await using app = new Child([process.execPath, main], { NOTIFY_SOCKET: manager.address });
  await until(() => app.lines.some((line) => line.startsWith('ready')), 'ready with a full socket');
  manager.process.kill('SIGCONT');
  await manager.has('READY'); // what was refused is sent again, in order
  assert.not(app.lines.some((line) => line.includes('takes no message')));
});

test('what the environment says is taken, once', () => {
  const usec = '3000000';
  for (const [env, expected] of [
    [{}, undefined],
    [{ NOTIFY_SOCKET: '' }, undefined],
    [{ WATCHDOG_USEC: usec }, undefined],
    [{ NOTIFY_SOCKET: '/s' }, { address: '/s', watchdog: undefined }],
    [
      { NOTIFY_SOCKET: '@s', WATCHDOG_USEC: usec },
      { address: '@s', watchdog: 3000 },
    ],
    [
      { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: usec, WATCHDOG_PID: '7' },
      { address: '/s', watchdog: 3000 },
    ],
    [
      { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: usec, WATCHDOG_PID: '8' },
      { address: '/s', watchdog: undefined },
    ],
    [
      { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: 'soon' },
      { address: '/s', watchdog: undefined },
    ],
    [
      { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '0' },
      { address: '/s', watchdog: undefined },
    ],
  ] as const) {
    const left: NodeJS.ProcessEnv = { ...env, OTHER: 'stays' };
    assert.equal(takeServiceEnvironment(left, 7), expected);
    assert.equal(left, { OTHER: 'stays' });
  }
});

test.run();
