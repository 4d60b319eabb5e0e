/** `ballermann window`: its exit code, what it does with signals, and that the pool reopens whatever ends. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ControlClient } from '#src/control/client.js';
import { binPath, Cli, ControlledPrimary, cli, RuntimeFolder, terminalScript } from '../support/control.js';
import { until } from '../support/helpers.js';
import { Folder, isAlive } from '../support/processes.js';

const test = suite('', undefined);
const withPython = existsSync('/usr/bin/python3') ? test : test.skip;

let folder: RuntimeFolder;
let files: Folder;
let primary: ControlledPrimary;
let client: ControlClient;

test.before(async () => {
  folder = new RuntimeFolder();
  files = new Folder();
  primary = new ControlledPrimary({ name: 'shop', replicas: 1 });
  await primary.said();
  client = await ControlClient.connect(folder.socket('shop'));
});

test.after(async () => {
  client.end();
  await primary[Symbol.asyncDispose]();
  files[Symbol.dispose]();
  folder[Symbol.dispose]();
});

async function isOpen(): Promise<boolean> {
  const { pools } = await client.ask({ verb: 'status' });
  return pools[0]?.windows.open === true;
}

const reopened = (): Promise<unknown> => until(async () => !(await isOpen()), 'the pool to be open again');

let commands = 0;

/** A window with a command that has begun: it writes its pid, then does `what`, then waits. */
async function begun(what = '', ...flags: string[]): Promise<{ command: Cli; pid: number }> {
  const file = `pid ${commands++}`;
  const script = `${what} echo $$ > '${files.at(file)}.new'; mv '${files.at(file)}.new' '${files.at(file)}'; while :; do sleep 0.02; done`;
  const command = new Cli(['window', 'shop', ...flags, '--', 'sh', '-c', script]);
  await until(
    () => files.has(file) || command.process.exitCode !== null,
    () => `the command to begin: ${command.err}`,
  );
  assert.ok(await isOpen(), 'the window is open');
  return { command, pid: Number(files.read(file)) };
}

test('the exit code is that of the command, and its output is its own', async () => {
  const { code, out, err } = await cli('window', 'shop', '--', 'sh', '-c', 'echo inside; exit 7');
  assert.equal([code, out], [7, 'inside\n']);
  assert.match(
    err,
    /^ballermann: the window of pool 'shop' is open\nballermann: .* was open for \d+\.\d s\n$/,
  );
  assert.equal(await cli('window', 'shop', '-q', '--', 'true'), { code: 0, signal: null, out: '', err: '' });
  assert.not(await isOpen());
});

test('the command runs while the pool is paused', async () => {
  const inside = await cli('window', 'shop', '-q', '--', process.execPath, binPath, 'status', '--json');
  assert.is(JSON.parse(inside.out).pools[0].paused, true);
});

test('128 + n for a signal, 126 and 127 for a command that cannot be run, 125 without a window, 2 for a wrong line', async () => {
  const codeOf = async (...args: string[]): Promise<number | null> => (await cli('window', ...args)).code;
  assert.is(await codeOf('shop', '--', 'sh', '-c', 'kill -KILL $$'), 137);
  assert.is(await codeOf('shop', '--', '/nonexistent'), 127);
  assert.is(await codeOf('shop', '--', files.script('no-program', '')), 126);
  assert.is(await codeOf('nobody', '--', 'true'), 125);
  assert.is(await codeOf('shop', '--'), 2);
  assert.is(await codeOf('shop', '--timeout', 'soon', '--', 'true'), 2);
  assert.not(await isOpen());
});

test('signals are passed on to the command', async () => {
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
    ['SIGUSR2', 140],
  ] as const) {
    const { command } = await begun();
    command.process.kill(signal);
    assert.is((await command.ended).code, code, signal);
    assert.not(await isOpen());
  }
});

test('a command that ends in its own way at a signal has its own exit code', async () => {
  const { command } = await begun("trap 'exit 9' TERM;");
  command.process.kill('SIGTERM');
  assert.is((await command.ended).code, 9);
});

test('SIGKILL of the CLI: the pool reopens', async () => {
  const { command, pid } = await begun();
  command.process.kill('SIGKILL');
  await reopened();
  process.kill(pid, 'SIGKILL'); // nobody is left to do it
  await command.ended;
});

test('SIGKILL of the command: the pool reopens, 137', async () => {
  const { command, pid } = await begun();
  process.kill(pid, 'SIGKILL');
  assert.is((await command.ended).code, 137);
  assert.not(await isOpen());
});

withPython('the terminal is closed: the command ends and the pool reopens', async () => {
  const script = `echo $$ > '${files.at('of terminal')}'; while :; do sleep 0.02; done`;
  const line = [process.execPath, binPath, 'window', 'shop', '--', 'sh', '-c', script];
  const terminal = spawn('/usr/bin/python3', [terminalScript, ...line], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const how = text(terminal.stdout);
  await until(
    () => files.has('of terminal') && files.read('of terminal').endsWith('\n'),
    'the command to begin',
  );
  assert.ok(await isOpen());
  terminal.stdin.write('close\n');
  await reopened();
  const pid = Number(files.read('of terminal'));
  await until(() => !isAlive(pid), 'the end of the command');
  assert.equal(JSON.parse(await how), { code: 129, signal: null });
});

test('--timeout ends the command, then the window: 124; also where the window does not open in time', async () => {
  const { command } = await begun('', '--timeout', '600ms');
  const { code, err } = await command.ended;
  assert.is(code, 124);
  assert.match(err, /the command had not ended after 600 ms/);
  assert.not(await isOpen());
  const { command: before } = await begun();
  const waiting = await cli('window', 'shop', '--timeout', '100ms', '--', 'true');
  assert.is(waiting.code, 124);
  assert.match(waiting.err, /the window of pool 'shop' did not open within 100 ms/);
  before.process.kill('SIGTERM');
  await before.ended;
});

test('a signal before the window is open: nothing is run', async () => {
  const { command: before } = await begun();
  const waiting = new Cli(['window', 'shop', '--', 'touch', files.at('touched')]);
  await until(async () => {
    const { pools } = await client.ask({ verb: 'status' });
    return pools[0]?.windows.open;
  }, 'the window before');
  waiting.process.kill('SIGTERM');
  assert.ok([143, null].includes((await waiting.ended).code));
  before.process.kill('SIGTERM');
  await before.ended;
  assert.not(files.has('touched'));
  assert.not(await isOpen());
});

test('a window inside a window of the same pool is refused: it would wait for itself', async () => {
  const nested = [process.execPath, binPath, 'window', 'shop', '--', 'true'];
  const { code, err } = await cli('window', 'shop', '--', ...nested);
  assert.is(code, 125);
  assert.match(err, /this is inside a window of pool 'shop'/);
});

test('the supervisor is killed while the window is open: the command gets SIGTERM, 125', async () => {
  const { command, pid } = await begun();
  primary.process.kill('SIGKILL');
  const { code, err } = await command.ended;
  assert.is(code, 125);
  assert.match(err, /the window ended before the command did/);
  assert.not(isAlive(pid));
});

test.run();
