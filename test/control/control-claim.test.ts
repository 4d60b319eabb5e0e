/** The name of a supervisor with a control socket: one of a user has it at a time, and nobody else reaches its socket. */

import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { supervise } from 'ballermann';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findSupervisors } from '#src/control/client.js';
import { folders } from '#src/control/folders.js';
import { ControlServer } from '#src/control/server.js';
import { RawControl, RuntimeFolder } from '../support/control.js';
import { fixture, rejects, start, until } from '../support/helpers.js';
import { Forked } from '../support/processes.js';

const test = suite('', undefined);
const root = process.getuid?.() === 0 ? test : test.skip;

const mode = (path: string): number => lstatSync(path).mode & 0o777;
const CLOSED = new Error('closed by the test');

/** Processes that wait to take a name. */
class Starters implements AsyncDisposable {
  readonly processes: ChildProcess[];

  constructor(count: number) {
    this.processes = Array.from({ length: count }, () => fork(fixture('control/claim.mjs')));
  }

  /** All take it as nearly at once as can be. @returns what each says. */
  async take<Said = string>(name: string, more: object = {}): Promise<Said[]> {
    await Promise.all(this.processes.map((starter) => once(starter, 'message')));
    const said = this.processes.map((starter) => once(starter, 'message'));
    for (const starter of this.processes) starter.send({ name, ...more });
    return (await Promise.all(said)).map(([what]) => what);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.processes.map((starter) => {
        if (starter.exitCode !== null || starter.signalCode !== null) return undefined;
        starter.kill('SIGKILL');
        return once(starter, 'exit');
      }),
    );
  }
}

test('the socket has mode 0600, in a folder of mode 0700; both socket and lock are gone after close()', async () => {
  using folder = new RuntimeFolder();
  const supervisor = await start({ replicas: 1, control: true, name: 'web' });
  assert.is(mode(folder.path), 0o700);
  assert.is(mode(folder.socket('web')), 0o600);
  assert.is(mode(`${folder.socket('web')}.lock`), 0o600);
  await supervisor.close();
  assert.equal(readdirSync(folder.path), []);
});

test('a second supervisor of a name is refused before anything is forked, and the first goes on', async () => {
  using folder = new RuntimeFolder();
  await using supervisor = await start({ replicas: 1, control: true, name: 'web' });
  using forked = new Forked();
  await rejects(start({ control: true, name: 'web' }), {
    code: 'ERR_SUPERVISOR_EXISTS',
    message: new RegExp(`"web" runs already \\(pid ${process.pid}\\): stop it, or choose another name`),
  });
  assert.equal(forked.pids, []);
  using client = new RawControl(folder.socket('web'));
  client.ask({ verb: 'status' });
  assert.is(((await client.answer()).result as { name: string }).name, supervisor.name);
});

test('a name is free again when its supervisor could not start', async () => {
  using folder = new RuntimeFolder();
  const exec = folder.script('broken.mjs', 'process.exit(3);');
  for (let i = 0; i < 2; i++)
    await rejects(
      supervise({ exec, replicas: 1, control: true, name: 'web', log: false }),
      'ERR_START_FAILED',
    );
  assert.equal(readdirSync(folder.path), []);
});

test('of six that take a name at once, where a dead one has left its socket, one gets it', async () => {
  using folder = new RuntimeFolder();
  {
    await using dead = new Starters(1);
    assert.equal(await dead.take('web'), ['taken']);
  }
  assert.ok(existsSync(folder.socket('web')), 'the killed process has left its socket');
  assert.equal(await findSupervisors(process.env), [], 'which nobody takes for a supervisor');
  await using starters = new Starters(6);
  const said = await starters.take('web');
  assert.is(said.filter((what) => what === 'taken').length, 1, String(said));
  assert.is(said.filter((what) => what === 'ERR_SUPERVISOR_EXISTS').length, 5, String(said));
  assert.equal(await findSupervisors(process.env), [{ name: 'web', path: folder.socket('web') }]);
});

test('three that take a name and give it back, again and again: never do two have it', async () => {
  using folder = new RuntimeFolder();
  await using starters = new Starters(3);
  const again = { times: 200, marker: folder.at('marker') };
  const said = await starters.take<{ both: number; others: string[] }>('web', again);
  for (const { both, others } of said) assert.equal([both, others], [0, []]);
  assert.equal(readdirSync(folder.path), []);
});

test('names that no file can have, or that are too long for a socket, are refused as an option', async () => {
  using _folder = new RuntimeFolder();
  const open = (name: string): Promise<unknown> => start({ control: true, name });
  const code = 'ERR_OUT_OF_RANGE';
  await rejects(open(''), { code, message: /options.name must be at least one character/ });
  await rejects(open('\ud800'), { code, message: /well-formed Unicode/ });
  await rejects(open('x'.repeat(200)), { code, message: /at most \d+ bytes long .* up to \d+ bytes\)/ });
  await rejects(open('/'.repeat(40)), { code, message: /at most \d+ bytes long/ });
  await rejects(start({ control: 'yes' as never }), {
    code: 'ERR_INVALID_ARG_TYPE',
    message: /options.control/,
  });
});

test('the longest name that is allowed works', async () => {
  using folder = new RuntimeFolder();
  const failure = await rejects(ControlServer.open('x'.repeat(200)), 'ERR_OUT_OF_RANGE');
  const [, longest] = /at most (\d+) bytes/.exec(failure.message) ?? [];
  const name = 'x'.repeat(Number(longest));
  await rejects(ControlServer.open(`${name}x`), 'ERR_OUT_OF_RANGE');
  const server = await ControlServer.open(name);
  assert.equal(readdirSync(folder.path).sort(), [`${name}.sock`, `${name}.sock.lock`]);
  server.close(CLOSED);
});

test('a name with slashes and dots stays inside the folder, and is found by its name', async () => {
  using folder = new RuntimeFolder();
  const names = ['../../a', '.', 'a/b', 'ü ö'];
  const servers = await Promise.all(names.map((name) => ControlServer.open(name)));
  assert.is(readdirSync(folder.path).length, 2 * names.length);
  const found = (await findSupervisors(process.env)).map(({ name }) => name);
  assert.equal(found.sort(), [...names].sort());
  for (const server of servers) server.close(CLOSED);
});

test('what is no socket is left alone, and there is no control socket then', async () => {
  using folder = new RuntimeFolder();
  mkdirSync(folder.path, { mode: 0o700 });
  writeFileSync(folder.socket('web'), 'precious');
  await rejects(ControlServer.open('web'), {
    code: 'ERR_CONTROL_UNAVAILABLE',
    message: /is no socket: remove it/,
  });
  assert.is(statSync(folder.socket('web')).size, 8);
});

test('a folder that others can enter, or that is a link, is not used', async () => {
  using folder = new RuntimeFolder();
  mkdirSync(folder.path);
  chmodSync(folder.path, 0o755);
  await rejects(ControlServer.open('web'), {
    code: 'ERR_CONTROL_UNAVAILABLE',
    message: /must be a folder .* mode 0700/,
  });
  using other = new RuntimeFolder();
  mkdirSync(other.at('elsewhere'), { mode: 0o700 });
  symlinkSync(other.at('elsewhere'), other.path);
  await rejects(ControlServer.open('web'), 'ERR_CONTROL_UNAVAILABLE');
});

test('without XDG_RUNTIME_DIR, or with one that is not this user’s, the folder for temporary files is used', () => {
  const own = join(tmpdir(), `ballermann-control-${process.geteuid?.()}`);
  assert.is(folders({})[0], own);
  assert.is(folders({ XDG_RUNTIME_DIR: 'relative' })[0], own);
  assert.is(folders({ XDG_RUNTIME_DIR: '/nonexistent' })[0], own);
  if (process.geteuid?.() !== 0) assert.is(folders({ XDG_RUNTIME_DIR: '/root' })[0], own);
});

root('another user cannot connect; where the folder is opened to him, he is refused', async () => {
  using folder = new RuntimeFolder();
  await using supervisor = await start({ replicas: 1, control: true, name: 'web' });
  const stranger = async (): Promise<string> => {
    const script = fileURLToPath(fixture('control/stranger.mjs'));
    const { stdout } = await promisify(execFile)(process.execPath, [script, folder.socket('web')]);
    return stdout;
  };
  assert.is(await stranger(), 'EACCES');
  for (const path of [folder.parent, folder.path]) chmodSync(path, 0o711);
  assert.is(await stranger(), 'EACCES', 'the socket itself has mode 0600');
  chmodSync(folder.socket('web'), 0o666);
  assert.match(
    await stranger(),
    /"ERR_CONTROL_UNAVAILABLE","message":"the supervisor belongs to another user"/,
  );
  await until(() => supervisor.children().every(({ state }) => state === 'up'), 'its replica to be up still');
});

root('a folder that another user has made first is not used, and not believed', async () => {
  using folder = new RuntimeFolder();
  mkdirSync(folder.path, { mode: 0o700 });
  await promisify(execFile)('chown', ['65534', folder.path]);
  await rejects(ControlServer.open('web'), 'ERR_CONTROL_UNAVAILABLE');
  const bait = createServer().listen(folder.socket('web'));
  await once(bait, 'listening');
  assert.equal(await findSupervisors(process.env), []);
  bait.close();
});

test.run();
