/** `ballermann run`, as a process, with servers that know nothing of ballermann. */

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Context } from '#src/cli/command.js';
import { command as run } from '#src/cli/commands/run.js';
import { parse } from '#src/cli/parse.js';
import { runSettings } from '#src/cli/settings.js';
import { binPath } from '../support/control.js';
import { fixture, until } from '../support/helpers.js';
import { Folder, isAlive } from '../support/processes.js';

const test = suite('', undefined);

/** `ballermann run …` in a folder that has server.cjs; killed at the end of its `await using`. */
class Running implements AsyncDisposable {
  readonly folder: Folder;
  out = '';
  err = '';
  readonly ended: Promise<number | null>;
  readonly #process: ReturnType<typeof spawn>;

  constructor(args: readonly string[], files: Readonly<Record<string, string>> = {}, env = {}) {
    this.folder = new Folder();
    cpSync(fixture('cli/server.cjs'), this.folder.at('server.cjs'));
    for (const [name, text] of Object.entries(files)) this.folder.script(name, text);
    this.#process = spawn(process.execPath, [binPath, 'run', ...args], {
      cwd: this.folder.path,
      env: { ...process.env, XDG_RUNTIME_DIR: this.folder.path, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process.stdout?.setEncoding('utf8').on('data', (text) => {
      this.out += text;
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text) => {
      this.err += text;
    });
    this.ended = new Promise((resolve) => this.#process.once('close', resolve));
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Waits for what it says on stderr; @returns the text so far. */
  async says(pattern: RegExp, count = 1): Promise<string> {
    const global = new RegExp(pattern, 'g');
    await until(
      () => (this.err.match(global) ?? []).length >= count || this.#process.exitCode !== null,
      () => `${pattern} ${count} times in: ${this.err}`,
    );
    assert.match(this.err, pattern);
    return this.err;
  }

  /** What a replica answers. */
  async ask(): Promise<{ pid: number; args: string[]; A?: string; value?: unknown }> {
    await until(() => /port \d+/.test(this.out), 'the port');
    const [, port] = /port (\d+)/.exec(this.out) as RegExpExecArray;
    const response = await fetch(`http://127.0.0.1:${port}`, { headers: { connection: 'close' } });
    return (await response.json()) as { pid: number; args: string[] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null) this.kill('SIGKILL');
    await this.ended;
    this.folder[Symbol.dispose]();
  }
}

test('a plain server: replicas, arguments, variables; SIGHUP reloads, SIGTERM stops in order with 0', async () => {
  await using server = new Running(
    ['server.cjs', '-n', '2', '--env', 'A=flag', '--name', 'shop', '--', '--x', '1'],
    { 'ballermann.config.mjs': "export default { env: { A: 'file' }, maxRss: '1gb', hangTimeout: '30s' };" },
    { BALLERMANN_ENV: 'A=variable', BALLERMANN_REPLICAS: '5' },
  );
  await server.says(/2 replicas are up; the primary has pid \d+/);
  assert.match(server.err, /^ballermann: shop: replica [01] \(pid \d+\) is up$/m);
  const { pid, args, A } = await server.ask();
  assert.equal([args, A], [['--x', '1'], 'flag']);
  server.kill('SIGHUP');
  await server.says(/every replica has been replaced/);
  const after = await server.ask();
  assert.is.not(after.pid, pid);
  server.kill('SIGTERM');
  assert.is(await server.ended, 0);
  assert.not.ok(isAlive(pid) || isAlive(after.pid));
});

test('--log json writes the fields of pino, a line each; the option log takes pino as it is', async () => {
  const keys = async (args: string[], config: string): Promise<string[]> => {
    await using server = new Running(['server.cjs', '-n', '1', ...args], { 'ballermann.config.mjs': config });
    await until(
      () => /is up; the primary/.test(server.out),
      () => `a line in ${server.out} ${server.err}`,
    );
    server.kill('SIGINT');
    assert.is(await server.ended, 0);
    assert.is(server.err, '');
    const lines = server.out.split('\n').filter((line) => line.startsWith('{'));
    const entries = lines.map((line) => JSON.parse(line));
    const up = entries.find(({ event }) => event === 'up');
    assert.equal([up.level, up.supervisor, up.id], [30, 'server.cjs', 0]);
    assert.ok(Math.abs(up.time - Date.now()) < 60_000);
    assert.match(up.msg, /replica 0 \(pid \d+\) is up$/);
    if (args.length > 0) assert.equal([up.pid, lines.length > 3], [server.pid, true]);
    return Object.keys(up);
  };
  const pinoModule = import.meta.resolve('pino');
  const [ours, pinos] = [
    await keys(['--log', 'json'], 'export default {};'),
    await keys([], `import pino from ${JSON.stringify(pinoModule)}; export default { log: pino() };`),
  ];
  for (const key of pinos) assert.ok(ours.includes(key), `${key} is missing`);
});

test('where there is no place for a control socket it runs without one, unless somebody asks for it', async () => {
  const files = { ballermann: '' }; // where the folder of the sockets would be
  await using server = new Running(['server.cjs', '-n', '1'], files);
  await server.says(/1 replica is up/);
  assert.match(server.err, /cannot make its control socket: .*It runs without/);
  await using asked = new Running(['server.cjs', '-n', '1', '--control'], files);
  assert.is(await asked.ended, 1);
  assert.match(asked.err, /cannot make its control socket/);
});

test('a script that does not start: exit code 1, with its error and what can be done', async () => {
  await using broken = new Running(['broken.mjs', '-n', '1'], { 'broken.mjs': 'not javascript' });
  assert.is(await broken.ended, 1);
  assert.match(broken.err, /SyntaxError[\s\S]*exited with code 1 before it was ready/);
  await using idle = new Running(['idle.cjs', '-n', '1', '--ready-timeout', '300ms'], { 'idle.cjs': '' });
  assert.is(await idle.ended, 1);
  assert.match(idle.err, /idle\.cjs has not listened on anything.*--wait-ready online/);
});

const runsTypeScript = Boolean((process.features as { typescript?: unknown }).typescript);

test('a script and a configuration in TypeScript run where Node runs them; elsewhere the error says what to do', async () => {
  const script = "const port: number = 0; require('node:http').createServer().listen(port, '127.0.0.1');";
  const files = {
    'server.cts': script,
    'ballermann.config.ts': "export default { replicas: 1, name: 'typed' } satisfies object;",
    'package.json': '{ "type": "module" }',
  };
  await using server = new Running(['server.cts'], files);
  await using other = new Running(['server.cts', '--config', 'none.mjs'], {
    ...files,
    'none.mjs': 'export default {}',
  });
  if (runsTypeScript) {
    await server.says(/typed: 1 replica is up/);
    server.kill('SIGTERM');
    other.kill('SIGKILL');
    assert.is(await server.ended, 0);
  } else {
    assert.equal([await server.ended, await other.ended], [2, 2]);
    assert.match(
      server.err,
      /ballermann\.config\.ts cannot be read: Node v.* does not run TypeScript; use Node 22\.18/,
    );
    assert.match(other.err, /Node v.* cannot run server\.cts by itself: .*--node-arg=--import=tsx/);
  }
});

test('a script that is no server runs with --wait-ready online, and ends with its last replica', async () => {
  const job = 'setTimeout(() => process.exit(Number(process.argv[2])), 50)';
  const args = ['job.cjs', '-n', '1', '--wait-ready', 'online', '--log', 'silent'];
  await using good = new Running([...args, '--restart', 'transient', '--', '0'], { 'job.cjs': job });
  assert.is(await good.ended, 0);
  assert.is(good.err, '');
  await using bad = new Running([...args, '--restart', 'temporary', '--', '3'], { 'job.cjs': job });
  assert.is(await bad.ended, 1);
  assert.match(bad.err, /the last replica has ended/);
});

test('a supervisor that gives up: exit code 1, and why, once', async () => {
  const flags = ['--wait-ready', 'online', '--intensity', '1', '--period', '30s', '--backoff-initial', '0'];
  await using loop = new Running(['dies.cjs', '-n', '1', ...flags], { 'dies.cjs': 'process.exit(3)' });
  assert.is(await loop.ended, 1);
  assert.is((loop.err.match(/gave up/g) ?? []).length, 1, loop.err);
});

test('--watch reloads at a change, keeps the old replicas when the new code fails, and leaves other files alone', async () => {
  const files = { 'value.js': 'module.exports = 1;' };
  await using server = new Running(['server.cjs', '-n', '1', '--watch'], files);
  await server.says(/1 replica is up/);
  const { folder } = server;
  assert.is((await server.ask()).value, 1);
  for (const name of ['node_modules', '.git']) {
    mkdirSync(folder.at(name));
    writeFileSync(folder.at(`${name}/a.js`), '');
  }
  writeFileSync(folder.at('server.log'), 'a line');
  writeFileSync(folder.at('value.js'), 'module.exports = 2;');
  await server.says(/every replica has been replaced/);
  const { pid, value } = await server.ask();
  assert.is(value, 2);
  writeFileSync(folder.at('value.js'), 'module.exports = ;');
  await server.says(/the reload failed.*\n.*go on with the code that they have/);
  assert.equal(await server.ask(), { pid, args: [], value: 2 });
  mkdirSync(folder.at('lib'));
  writeFileSync(folder.at('value.js'), 'module.exports = 3;');
  await server.says(/every replica has been replaced/, 2);
  assert.is((await server.ask()).value, 3);
  writeFileSync(folder.at('lib/new.js'), '');
  await server.says(/lib\/new\.js changed/);
  assert.not.match(server.err, /(?:node_modules|\.git|server\.log).* changed/);
  server.kill('SIGTERM');
  assert.is(await server.ended, 0);
});

test('--watch starts a script anew that did not start, when it has changed', async () => {
  await using server = new Running(['app.cjs', '-n', '1', '-w'], { 'app.cjs': 'nonsense(' });
  await server.says(/it is started again when a file changes/);
  symlinkSync(fileURLToPath(fixture('cli/server.cjs')), server.folder.at('app2.cjs'));
  writeFileSync(server.folder.at('app.cjs'), "require('./app2.cjs')");
  await server.says(/1 replica is up/);
  assert.is((await server.ask()).value, undefined);
  server.kill('SIGTERM');
  assert.is(await server.ended, 0);
});

/** The settings of a command line, without running it. */
async function settings(args: readonly string[], env: Record<string, string>, config?: string) {
  using folder = new Folder();
  const file = folder.script('ballermann.config.mjs', config ?? 'export default {}');
  const { stdin, stdout, stderr } = process;
  const asked = parse(run, ['--config', file, ...args]);
  const context: Context = { stdin, stdout, stderr, env, ...asked };
  return await runSettings(context); // the file is there until then
}

test('a flag wins over its variable, the variable over the file; fields of one option are taken one by one', async () => {
  const file =
    "export default { exec: 'a.js', maxRss: '1kb', name: 'file', sticky: true, backoff: { initial: '1s', max: 9000 } }";
  const env = {
    BALLERMANN_MAX_RSS: '2kb',
    BALLERMANN_NAME: 'variable',
    BALLERMANN_BACKOFF_MAX: '5s',
    BALLERMANN_LOG: '',
  };
  const { supervisor, balancer, log } = await settings(
    ['--max-rss', '3kb', '--selection', 'least-queue', '--no-sticky'],
    env,
    file,
  );
  const { maxRss, name, sticky, backoff, exec } = supervisor;
  assert.equal([maxRss, name, sticky, backoff], [3_072, 'variable', false, { initial: 1_000, max: 5_000 }]);
  assert.match(String(exec), /^\/.*a\.js$/);
  assert.equal(balancer, { selection: 'least-queue' });
  assert.is(log, 'text');
  const { supervisor: plain } = await settings(['b.js', '--', '-x'], {});
  assert.equal([plain.exec, plain.args, plain.control, plain.maxRss], ['b.js', ['-x'], true, undefined]);
});

const refused: readonly [string[], Record<string, string>, string | undefined, RegExp][] = [
  [['--max-rss', '5xb'], {}, undefined, /^--max-rss must be a size such as 512mb .*; got "5xb"$/],
  [[], { BALLERMANN_MAX_RSS: '5xb' }, undefined, /^BALLERMANN_MAX_RSS must be a size/],
  [[], {}, "export default { maxRss: '5xb' }", /^maxRss in ballermann\.config\.mjs must be a size/],
  [[], { BALLERMANN_LOG: 'jsn' }, undefined, /^BALLERMANN_LOG must be one of .*Did you mean json\?$/],
  [[], {}, 'export default { repliacs: 2 }', /repliacs .* is no option of run\. Did you mean replicas\?/],
  [[], {}, 'export default { signals: false }', /signals .* is no option of run: /],
  [
    [],
    {},
    'export default { backoff: { intial: 2 } }',
    /backoff\.intial .* is no option: backoff has initial, max/,
  ],
  [[], {}, 'export default 5', /must have a default export with options.*it is|default export is 5/],
  [[], {}, 'export defau', /cannot be read: SyntaxError.*node --check/],
  [[], {}, "throw new Error('no')", /cannot be read: Error: no/],
];

test('a wrong value is refused before anything starts, by the place that it came from', async () => {
  for (const [args, env, config, text] of refused) {
    const failure = await settings(['a.js', ...args], env, config).then(
      () => undefined,
      (error) => error,
    );
    assert.match(failure?.message ?? 'no error', text);
    assert.is(failure.exitCode, 2);
  }
});

test('what supervise itself refuses is told by the name of the flag, variable or key', async () => {
  const ranges: readonly [string[], string | undefined, RegExp][] = [
    [['--hang-timeout', '20'], undefined, /^--hang-timeout must be at least blockedAfter/],
    [[], 'export default { env: { A: 5 } }', /^env\.A in ballermann\.config\.mjs must be a string; got 5/],
    [[], 'export default { replicas: -3 }', /^replicas in ballermann\.config\.mjs must be an integer/],
    [
      ['--backoff-initial', '5s', '--backoff-max', '1s'],
      undefined,
      /^--backoff-max must be at least initial/,
    ],
  ];
  const { supervisorSettings } = await import('#src/primary/supervision/supervisor-options.js');
  for (const [args, config, text] of ranges) {
    const { supervisor, blame } = await settings([binPath, ...args], {}, config);
    const error = await Promise.resolve()
      .then(() => supervisorSettings(supervisor, 1024))
      .then(() => undefined, blame);
    assert.match((error as Error | undefined)?.message ?? 'no error', text);
  }
});

test.run();
