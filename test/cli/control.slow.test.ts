/** `ballermann status`, `reload`, `scale` and `stop`, as processes, on a server under load in another one. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Status } from '#src/control/protocol.js';
import { binPath, Cli, ControlledPrimary, cli, RuntimeFolder } from '../support/control.js';
import { fixture, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';
import { Traffic } from '../support/traffic.js';

const test = suite('', undefined);
const withPython = existsSync('/usr/bin/python3') ? test : test.skip;
const screen = fileURLToPath(fixture('control/screen.py'));
const watching = [process.execPath, binPath, 'status', '--watch'];
const ESCAPE = '\x1b';

let folder: RuntimeFolder;
let primary: ControlledPrimary;
let port: number;

test.before(async () => {
  folder = new RuntimeFolder();
  primary = new ControlledPrimary({ name: 'shop', lingers: 1_000 });
  port = (await primary.said()).port as number;
});

test.after(async () => {
  await primary[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

async function status(): Promise<Status> {
  return JSON.parse((await cli('status', '--json')).out);
}

test('status: the table is plain when piped; --json has the whole snapshot', async () => {
  const { code, out, err } = await cli('status');
  assert.equal({ code, err }, { code: 0, err: '' });
  assert.match(out, /^shop {2}running/);
  assert.match(out, /^ {2}0 +\d+ up .*\n {2}1 +\d+ up /m);
  assert.match(out, /^shop +2\/2 /m);
  assert.not.match(out, /\p{Cc}\[/u);
  const { pid, name, replicas, pools } = await status();
  assert.equal([pid, name, replicas.length, pools[0]?.name], [primary.process.pid, 'shop', 2, 'shop']);
});

test('reload and scale under load: no request fails', async () => {
  const traffic = new Traffic(port, 8, false);
  await traffic.reached(20);
  const before = await status();
  const reloaded = await cli('reload', 'shop');
  assert.match(reloaded.out, /^reloaded shop: 2 replicas in \d+\.\d s\n$/);
  assert.is(reloaded.code, 0);
  const after = await status();
  const pids = before.replicas.map(({ pid }) => pid);
  assert.ok(
    after.replicas.every(({ pid }) => !pids.includes(pid)),
    'all are new',
  );
  assert.is(after.reloads.succeeded, 1);
  assert.is((await cli('scale', '3')).out, 'scaled shop from 2 to 3 replicas\n');
  assert.is((await cli('scale', '-2', 'shop')).out, 'scaled shop from 3 to 1 replicas\n');
  assert.is((await cli('scale', '+1')).out, 'scaled shop from 1 to 2 replicas\n');
  await traffic.reached(20);
  const { failures } = await traffic.end();
  assert.equal([...failures], []);
});

test('what cannot be done has exit code 1 and says why; a wrong command line has 2', async () => {
  const refused = await cli('scale', '-5');
  assert.equal([refused.code, refused.out], [1, '']);
  assert.match(refused.err, /replicas must be an integer from 1 to \d+; got -3/);
  for (const args of [
    ['scale'],
    ['scale', 'many'],
    ['scale', '1.5'],
    ['reload', '--max-unavailable', '0'],
    ['status', 'a', '--name', 'b'],
  ])
    assert.is((await cli(...args)).code, 2, args.join(' '));
});

test('a name that is not there has exit code 3, and the error has those that are', async () => {
  const { code, err } = await cli('status', 'shpo');
  assert.is(code, 3);
  assert.match(err, /no supervisor named "shpo" is running. Did you mean shop\?\nRunning: shop/);
});

test('--watch of a pipe: a table each second, with rates', async () => {
  const watching = new Cli(['status', '--watch']);
  let out = '';
  watching.process.stdout?.on('data', (part) => {
    out += part;
  });
  await until(() => out.includes('req/s'), 'the second table');
  watching.process.kill('SIGTERM');
  await watching.ended;
});

test('with two supervisors the name is needed, and the error lists them; BALLERMANN_NAME says it as well', async () => {
  await using other = new ControlledPrimary({ name: 'other', replicas: 1 });
  await other.said();
  const { code, err } = await cli('stop');
  assert.is(code, 2);
  assert.match(err, /2 supervisors are running: say which one, by its name\n {2}other .*\n {2}shop /);
  const named = new Cli(['status', '--json'], { BALLERMANN_NAME: 'other' });
  assert.is(JSON.parse((await named.ended).out).name, 'other');
});

withPython(
  '--watch on a terminal: drawn in place, in colours; q, Ctrl-C and a closed terminal end it',
  async () => {
    using files = new Folder();
    const show = async (
      line: string,
      env: Record<string, string> = {},
    ): Promise<{ how: object; shown: string }> => {
      const terminal = spawn('/usr/bin/python3', [screen, files.at('shown'), ...watching], {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: { ...process.env, TERM: 'xterm', ...env },
      });
      const how = text(terminal.stdout);
      await until(
        () => files.has('shown') && /req\/s.*q: quit/s.test(files.read('shown')),
        'the second picture',
      );
      terminal.stdin.write(`${line}\n`);
      const shown = files.read('shown');
      return { how: JSON.parse(await how), shown: line === 'close' ? shown : files.read('shown') };
    };
    const { how, shown } = await show('q');
    assert.equal(how, { code: 0, signal: null });
    assert.ok(shown.startsWith(`${ESCAPE}[?1049h`) && shown.trimEnd().endsWith(`${ESCAPE}[?1049l`));
    assert.ok(shown.includes(`${ESCAPE}[32mrunning`), 'green');
    files.shut('shown');
    const plain = await show('\x03', { NO_COLOR: '1' });
    assert.equal(plain.how, { code: 0, signal: null });
    assert.not.ok(plain.shown.includes(`${ESCAPE}[32m`), 'NO_COLOR');
    files.shut('shown');
    assert.equal((await show('close')).how, { code: 0, signal: null });
  },
);

test('stop returns when the process ends, which may take longer than its replicas; then nobody is there: 3', async () => {
  const begin = performance.now();
  const { code, out } = await cli('stop', 'shop');
  assert.equal([code, out], [0, 'stopped shop\n']);
  assert.ok(performance.now() - begin >= 1_000, 'the process had something to finish');
  assert.equal(await primary.exited, [0, null]);
  const { code: none, err } = await cli('reload');
  assert.is(none, 3);
  assert.match(err, /no supervisor of this user is running with a control socket\. Looked in /);
});

test.run();
