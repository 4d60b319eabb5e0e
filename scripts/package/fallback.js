/** Where no binary fits: what the error says, and that what it says works. */
import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { npmCommand } from '../lib/npm.js';
import { getInstaller, installers } from './installers.js';
import { cleanEnv, run, runScript } from './process.js';
import { toollessPath } from './toolless.js';

export async function checkFallback({ root, cache, temporary, tarball, check }) {
  const project = join(temporary, 'unknown node'); // with a space, which make can't handle
  const tools = join(temporary, 'unknown-node-tools');
  const command = await check('a Node without a binary: the error is three lines', async () => {
    const { path: npm } = getInstaller(installers[0], join(cache, 'installers'));
    toollessPath(tools, process.execPath, { npm });
    cpSync(join(root, 'test', 'package', 'esm'), project, { recursive: true });
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'sample', private: true }));
    await run(...npmCommand(['install', '--no-audit', '--no-fund', tarball]), {
      cwd: project,
      env: cleanEnv(),
    });
    const binaries = join(project, 'node_modules', 'ballermann', 'prebuilds');
    const fits = (file) => file.endsWith(`-${process.versions.modules}.node`);
    for (const file of readdirSync(binaries).filter(fits)) rmSync(join(binaries, file));
    const error = await run(process.execPath, ['main.mjs', 'replica.mjs'], { cwd: project }).then(
      () => {
        throw new Error('it found an addon');
      },
      ({ message }) => message,
    );
    const [, advised] =
      /ballermann has no addon that loads in .*\nTo build one, .*\nThen run: (.*)\n/.exec(error) ?? [];
    if (advised === undefined) throw new Error(error);
    return advised;
  });
  if (command === undefined) return;
  await check('its command without a compiler says what to install, and nothing of node-gyp', async () => {
    const error = await shell(command, { cwd: project, PATH: tools }).catch(({ message }) => message);
    if (typeof error !== 'string' || !/Install: a.*python3 make g\+\+/.test(error) || /gyp/.test(error))
      throw new Error(`it said: ${JSON.stringify(error)}`);
  });
  await check('its command with a compiler', async () => {
    const PATH = `${tools}:${dirname(process.execPath)}:${process.env.PATH}`;
    const { stdout } = await shell(command, { cwd: project, PATH });
    await runScript(process.execPath, ['main.mjs', 'replica.mjs'], { cwd: project });
    return stdout.trim();
  });
}

function shell(command, { cwd, PATH }) {
  return run('/bin/sh', ['-c', command], { cwd, env: cleanEnv({ PATH }) });
}
