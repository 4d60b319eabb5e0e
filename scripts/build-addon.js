/**
 * Builds the addon in an installed package, for a Node or a system that the package has no binary for.
 *
 *   node node_modules/ballermann/scripts/build-addon.js
 *
 * Needs python3, make and a C++20 compiler, and a node-gyp: npm brings one. Node's headers come with most Nodes; otherwise
 * node-gyp downloads them. Uses no package but its own.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileAddon } from './lib/compile-addon.js';
import { missingCompiler } from './lib/compiler.js';
import { ownHeaders } from './lib/headers.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const addon = join(root, 'build', 'Release', 'ballermann.node');

try {
  await build();
  console.log(`built for Node ${process.version}: ${addon}`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

async function build() {
  const missing = missingCompiler();
  if (missing !== undefined) throw new Error(missing);
  const nodeGyp = findNodeGyp();
  if (nodeGyp === undefined) {
    throw new Error('node-gyp is missing: it comes with npm, or install it: npm install --global node-gyp');
  }
  const headers = ownHeaders();
  await compileAddon({
    sources: join(root, 'native'),
    gyp: join(root, 'prebuilds', 'source', 'binding.gyp'),
    api: join(root, 'prebuilds', 'source', 'node-addon-api'),
    nodeGyp,
    args: ['--jobs=max'],
    // By the environment, which node-gyp lets win: npm may have put another Node's headers there.
    env: headers === undefined ? {} : { npm_config_nodedir: headers },
    take: putInPlace,
  });
}

/** In one step: what runs now has the old one open. */
function putInPlace(built) {
  checkLoads(built);
  const unfinished = `${addon}.${process.pid}`;
  mkdirSync(dirname(addon), { recursive: true });
  try {
    copyFileSync(built, unfinished);
    renameSync(unfinished, addon);
  } finally {
    rmSync(unfinished, { force: true });
  }
}

function checkLoads(path) {
  const script = 'process.dlopen({ exports: {} }, process.argv[1])';
  const { status, stderr } = spawnSync(process.execPath, ['-e', script, path], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the addon was built, but does not load:\n${stderr}`);
}

/** The script of the node-gyp beside this package, or of the one that npm has, or of any on the PATH. */
function findNodeGyp() {
  const folders = [dirname(process.execPath), ...(process.env.PATH ?? '').split(delimiter)];
  const commands = folders.flatMap((folder) => [join(folder, 'npm'), join(folder, 'node-gyp')]);
  const places = [join(root, 'package.json'), process.env.npm_execpath ?? '', ...commands];
  for (const place of places.filter((path) => path !== '' && existsSync(path))) {
    try {
      return createRequire(realpathSync(place)).resolve('node-gyp/bin/node-gyp.js');
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND' && error.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw error;
    }
  }
  return undefined;
}
