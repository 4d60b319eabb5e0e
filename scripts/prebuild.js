/**
 * Fills prebuilds/ with what the package brings so that nobody has to compile: a binary of the addon for each Node that is
 * supported, on linux x64 and arm64 with glibc; and what scripts/build-addon.js needs to compile one all the same.
 *
 *   node scripts/prebuild.js [--only x64]
 *
 * Runs on linux x64. The headers come with the Nodes of npm's, which scripts/matrix.js uses too; the compiler for arm64 is Debian's
 * g++-aarch64-linux-gnu. Fails where a binary asks for more than Node itself does. What is there already is skipped. `--only x64`
 * leaves arm64 out, where there is no compiler for it: not for a release.
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import './lib/exit-on-signals.js';
import { compileAddon } from './lib/compile-addon.js';
import { hasCommand, missingCompiler } from './lib/compiler.js';
import { inParallel } from './lib/in-parallel.js';
import { withLock } from './lib/lock.js';
import { installNode, SUPPORTED } from './lib/nodes.js';
import { sourceDigest } from './lib/source-digest.js';
import { tooNew } from './lib/symbol-versions.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (...parts) => join(root, ...parts);
const api = at('node_modules', 'node-addon-api');

/** What of node-addon-api a compiler reads, and its licence. */
const API_FILES = ['package.json', 'index.js', 'napi.h', 'napi-inl.h', 'napi-inl.deprecated.h', 'LICENSE.md'];

/** By the architecture, as Node calls it: the prefix of the commands that make binaries for it. */
const TOOLS = { x64: '', arm64: 'aarch64-linux-gnu-' };

const { only } = parseArgs({ options: { only: { type: 'string' } } }).values;
const archs = Object.keys(TOOLS).filter((arch) => only === undefined || arch === only);

try {
  checkMachine();
  mkdirSync(at('prebuilds'), { recursive: true });
  mkdirSync(at('.matrix'), { recursive: true });
  await withLock(at('.matrix', 'lock'), async () => {
    copySources();
    const targets = archs.flatMap((arch) => SUPPORTED.map((major) => ({ arch, major })));
    const built = await inParallel(availableParallelism(), targets, build);
    removeOthers(built);
  });
} catch (error) {
  console.error(`prebuild: ${error.message}`);
  process.exit(1); // others may be compiling still
}

function checkMachine() {
  const { platform, arch } = process;
  if (platform !== 'linux' || arch !== 'x64')
    throw new Error(`the binaries are built on linux x64, and this is ${platform} ${arch}`);
  const missing = [missingCompiler(), missingCrossCompiler()].filter((text) => text !== undefined);
  if (missing.length > 0) throw new Error(missing.join('\n'));
}

function missingCrossCompiler() {
  if (!archs.includes('arm64') || hasCommand(`${TOOLS.arm64}g++`)) return undefined;
  return 'the compiler for arm64 is missing. Install: apt-get install g++-aarch64-linux-gnu';
}

/** Next to the binaries and not where the sources lie: those are watched for changes, and npm runs a binding.gyp at the top. */
function copySources() {
  const folder = at('prebuilds', 'source');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  copyFileSync(at('binding.gyp'), join(folder, 'binding.gyp'));
  for (const file of API_FILES) cpSync(join(api, file), join(folder, 'node-addon-api', file));
}

/** @returns the name of the binary. */
async function build({ arch, major }) {
  const headers = installNode(major, at('.matrix', major));
  const name = `linux-${arch}-glibc-${abiOf(headers)}.node`;
  const file = at('prebuilds', name);
  const stampFile = `${file}.stamp`;
  const stamp = `${arch} ${headers.version} ${sourceDigest(root)}\n`;
  if (existsSync(file) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return name;

  console.error(`prebuild: ${name}, with the headers of Node ${headers.version}`);
  rmSync(stampFile, { force: true });
  await compileAddon({
    sources: at('native'),
    gyp: at('binding.gyp'),
    api,
    nodeGyp: at('node_modules', 'node-gyp', 'bin', 'node-gyp.js'),
    args: ['--jobs=1', `--arch=${arch}`],
    env: {
      npm_config_nodedir: headers.prefix,
      CC: `${TOOLS[arch]}gcc`,
      CXX: `${TOOLS[arch]}g++`,
      AR: `${TOOLS[arch]}ar`,
      LDFLAGS: '-s',
    },
    take(built) {
      const newer = tooNew(built, `${TOOLS[arch]}objdump`);
      if (newer.length > 0) {
        throw new Error(`${name} asks for what an old system does not have:\n  ${newer.join('\n  ')}`);
      }
      copyFileSync(built, `${file}.new`);
      renameSync(`${file}.new`, file);
    },
  });
  writeFileSync(stampFile, stamp);
  return name;
}

/** NODE_MODULE_VERSION of the Node that has these headers. */
function abiOf({ prefix }) {
  const text = readFileSync(join(prefix, 'include', 'node', 'node_version.h'), 'utf8');
  const [, abi] = /^#define NODE_MODULE_VERSION (\d+)$/m.exec(text) ?? [];
  if (abi === undefined) throw new Error(`${prefix}: node_version.h names no NODE_MODULE_VERSION`);
  return abi;
}

/** The binary of an ABI that is supported no more would still be packed. */
function removeOthers(built) {
  const kept = new Set(['source', ...built.flatMap((name) => [name, `${name}.stamp`])]);
  for (const name of readdirSync(at('prebuilds')).filter((name) => !kept.has(name))) {
    rmSync(at('prebuilds', name), { recursive: true });
  }
}
