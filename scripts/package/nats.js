/**
 * `ballermann/nats` and its optional peers: nothing needs them that does not ask for it; without them it says what is missing; with
 * them it compiles in each way that TypeScript resolves packages, and a fleet answers on each Node that is supported.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findNatsServer } from '../lib/nats-server.js';
import { installNode, SUPPORTED } from '../lib/nodes.js';
import { npmCommand } from '../lib/npm.js';
import { cleanEnv, run, runScript } from './process.js';
import { versionOf } from './repository.js';

const PEERS = ['@nats-io/kv', '@nats-io/transport-node'];
const FACE = "await import('ballermann/nats')";

const RESOLUTIONS = [
  ['--module', 'node16'],
  ['--module', 'nodenext'],
  ['--module', 'esnext', '--moduleResolution', 'bundler'],
];

export async function checkNats({ root, cache, temporary, tarball, check, canDo }) {
  const project = join(temporary, 'nats');
  const install = (...packages) =>
    run(...npmCommand(['install', '--no-audit', '--no-fund', '--prefer-offline', ...packages]), {
      cwd: project,
      env: cleanEnv(),
    });
  const said = (code) =>
    run(process.execPath, ['--input-type=module', '-e', code], { cwd: project }).then(
      () => 'nothing',
      ({ message }) => message,
    );
  const sameAsHere = (name) => `${name}@${versionOf(name)}`;

  const installed = await check('npm install without the NATS packages', async () => {
    cpSync(join(root, 'test', 'package', 'nats'), project, { recursive: true });
    writeFileSync(
      join(project, 'package.json'),
      JSON.stringify({ name: 'sample', private: true, type: 'module' }),
    );
    await install(tarball, ...['typescript', '@types/node'].map(sameAsHere));
  });
  if (installed === undefined) return;

  await check("'ballermann' loads nothing of 'ballermann/nats'", async () => {
    const without = join(temporary, 'without nats');
    cpSync(join(root, 'test', 'package', 'esm'), without, { recursive: true });
    cpSync(join(project, 'node_modules'), join(without, 'node_modules'), { recursive: true });
    for (const part of ['nats.js', 'nats'])
      rmSync(join(without, 'node_modules', 'ballermann', 'dist', part), { recursive: true });
    await runScript(process.execPath, ['main.mjs', 'replica.mjs'], { cwd: without });
  });
  await checkTypes('without', "of 'ballermann' without the NATS packages");

  await check("'ballermann/nats' names the package that is missing", async () => {
    const named = [];
    for (let i = 0; i < PEERS.length; i++) {
      const text = await said(FACE);
      const [, name] =
        /ERR_MODULE_NOT_FOUND.*: Cannot find package '([^']+)'/.exec(text) ?? assert.fail(text);
      named.push(name);
      await install(sameAsHere(name));
    }
    assert.deepEqual(named.sort(), PEERS);
    assert.equal(await said(FACE), 'nothing');
  });
  await checkTypes('with', "of 'ballermann/nats'");

  if (!(await canDo('a fleet from the package', ['nats-server']))) return;
  for (const major of SUPPORTED) {
    const { version, path } = installNode(major, join(cache, major));
    await check(`join and fleetPool, on Node ${version}`, () =>
      withServer(join(temporary, `nats-server-${major}`), (url) =>
        runScript(path, ['main.mjs'], { cwd: project, env: cleanEnv({ NATS_URL: url }) }),
      ),
    );
  }

  async function checkTypes(file, what) {
    for (const resolution of RESOLUTIONS) {
      await check(`the types ${what}: ${resolution.join(' ')}, skipLibCheck or not`, async () => {
        const compiler = join(project, 'node_modules', 'typescript', 'bin', 'tsc');
        const flags = ['--noEmit', '--strict', '--target', 'es2022', '--types', 'node', ...resolution];
        for (const skip of ['true', 'false']) {
          const args = [compiler, ...flags, '--skipLibCheck', skip, `${file}.mts`];
          await run(process.execPath, args, { cwd: project });
        }
      });
    }
  }
}

/** Runs `work` with the address of a nats-server that has its store in `folder`, on a free port. */
async function withServer(folder, work) {
  const args = ['-js', '-a', '127.0.0.1', '-p', '-1', '-sd', folder, '--ports_file_dir', folder];
  mkdirSync(folder);
  const server = spawn(findNatsServer(), args, { stdio: 'ignore' });
  const kill = () => server.kill('SIGKILL');
  process.once('exit', kill);
  try {
    return await work(await addressOf(server, folder));
  } finally {
    const exited = once(server, 'exit');
    kill();
    await exited;
    process.off('exit', kill);
  }
}

async function addressOf({ pid }, folder) {
  for (let i = 0; i < 500; i++) {
    await sleep(10);
    try {
      return JSON.parse(readFileSync(join(folder, `nats-server_${pid}.ports`), 'utf8')).nats[0];
    } catch {} // not there yet, or in part
  }
  throw new Error('nats-server did not start within 5 s');
}
