/** Replicas start whatever hooks and loaders the primary's own options bring, and however it was started itself. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inheritedExecArgv } from '#src/primary/supervision/exec-argv.js';
import { fixture } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

const main = fileURLToPath(fixture('loaders/main.mjs'));

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a primary to its end. */
async function node(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Run> {
  const child = spawn(process.execPath, args, {
    cwd: fileURLToPath(fixture('loaders')),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  const output = Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await once(child, 'exit');
  const [stdout, stderr] = await output;
  return { code, stdout, stderr };
}

/** What the replica of loaders/main.mjs has answered. */
async function reply(
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<{ message: string; execArgv: string[]; hooked: string[] }> {
  const { code, stdout, stderr } = await node(args, env);
  assert.is(code, 0, stderr);
  const { reply } = JSON.parse(stdout);
  assert.is(reply.message, 'hello');
  return reply;
}

test('replicas start among hooks of module.register and of --loader, as instrumentation has them', async () => {
  const hooks = ['--import', fixture('loaders/register.mjs').href];
  hooks.push('--experimental-loader', fixture('loaders/hooks.mjs').href);
  const { execArgv, hooked } = await reply([...hooks, main]);
  assert.equal(execArgv, hooks);
  assert.equal(hooked, ['register']);
});

test('replicas start among hooks of module.registerHooks, which see require() too, from NODE_OPTIONS', async () => {
  const hooks = fileURLToPath(fixture('loaders/register-hooks.cjs'));
  const { execArgv, hooked } = await reply([main], { NODE_OPTIONS: `--require ${hooks}` });
  assert.equal(execArgv, []);
  assert.equal(hooked, ['registerHooks']);
});

test('replicas of node -e and of --input-type=module run exec, not that text', async () => {
  const script = readFileSync(main, 'utf8').replace(
    'import.meta.url',
    JSON.stringify(fixture('loaders/main.mjs').href),
  );
  const { execArgv } = await reply([
    '--no-deprecation',
    '--input-type=module',
    '-e',
    script,
    '--',
    'argument',
  ]);
  assert.equal(execArgv, ['--no-deprecation']);
  const own = `import('ballermann').then(async ({ supervise }) => {
    const supervisor = await supervise({ exec: './replica.mjs', replicas: 1 });
    await supervisor.close();
    process.exit(7);
  });`;
  assert.equal(await node([`--eval=${own}`]), { code: 7, stdout: '', stderr: '' });
});

for (const [given, inherited] of [
  [[], []],
  [['-e', 'text'], []],
  [['--eval', 'text', '--no-warnings'], ['--no-warnings']],
  [['--eval=text'], []],
  [['-p', 'text'], []],
  [['-pe', 'text'], []],
  [['-p', '-e', 'text'], []],
  [['--print'], []],
  [
    ['--input-type=module', '--input-type', 'module', '--import', 'tsx'],
    ['--import', 'tsx'],
  ],
  [['--snapshot-blob', 'file', '--test', '-i', '--entry-url'], []],
  [
    ['--test-name-pattern=x', '--enable-source-maps'],
    ['--test-name-pattern=x', '--enable-source-maps'],
  ],
  [
    ['--require', 'a.cjs', '-r', 'b.cjs'],
    ['--require', 'a.cjs', '-r', 'b.cjs'],
  ],
] as const) {
  test(`of ${given.join(' ') || 'no options'} replicas inherit ${inherited.join(' ') || 'none'}`, () => {
    assert.equal(inheritedExecArgv(given), inherited);
  });
}

for (const format of ['esm', 'cjs'] as const) {
  test(`a primary that is bundled with the package (${format}) is told to leave it out`, async () => {
    using folder = new Folder();
    const outfile = folder.at(format === 'esm' ? 'dist/main.mjs' : 'dist/main.cjs');
    folder.script('package.json', '{ "name": "app" }');
    await build({
      stdin: {
        contents: `import { supervise } from 'ballermann';
          supervise({ exec: process.argv[1] }).catch((error) => console.log(error.code, error.message));`,
        resolveDir: fileURLToPath(new URL('.', import.meta.url)),
      },
      outfile,
      bundle: true,
      platform: 'node',
      format,
      logLevel: 'error',
    });
    const { code, stdout, stderr } = await node([outfile]);
    assert.match(
      stdout,
      /^ERR_NATIVE_UNAVAILABLE .* mark the package as external.*esbuild: --external:ballermann/,
    );
    assert.is(code, 0, stderr);
  });
}

test('a Node that may not load addons, or start processes, is told by which options it may', async () => {
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  const permission = ['--permission', '--experimental-permission'].find((option) =>
    process.allowedNodeEnvironmentFlags.has(option),
  ) as string;
  const confined = [permission, `--allow-fs-read=${root}*`];
  const run = (options: readonly string[], execArgv?: readonly string[]): Promise<Run> => {
    const script = `import { supervise } from 'ballermann';
      supervise({ exec: './replica.mjs', replicas: 1, execArgv: ${JSON.stringify(execArgv)} }).then(
        (supervisor) => supervisor.close().then(() => process.exit(7)),
        (error) => console.log(error.code, error.message));`;
    return node([...options, '--input-type=module', '-e', script]);
  };
  const [noAddons, noChild, childOnly] = await Promise.all([
    run(['--no-addons']),
    run(confined),
    run([...confined, '--allow-child-process']),
  ]);
  assert.match(noAddons.stdout, /^ERR_NATIVE_UNAVAILABLE .*--no-addons/);
  assert.match(noChild.stdout, /^ERR_WRONG_PROCESS .*--allow-child-process and --allow-addons/);
  assert.match(childOnly.stdout, /^ERR_NATIVE_UNAVAILABLE .*--allow-addons and --allow-child-process/);
  const allowed = await Promise.all([
    run([...confined, '--allow-child-process', '--allow-addons']),
    run([], [...confined, '--allow-addons']),
  ]);
  for (const { code, stdout, stderr } of allowed) assert.is(code, 7, stdout + stderr);
});

test.run();
