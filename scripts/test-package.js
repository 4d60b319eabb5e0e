/**
 * Tests the package as its users get it: packs it, and installs the tarball outside the repository in fresh projects: with each
 * installer on each Node that is supported, without a compiler; on arm64, emulated; and where no binary fits. It is used there from
 * ESM, CommonJS and TypeScript. The projects' files are in test/package.
 *
 *   node scripts/test-package.js
 *
 * What this machine can't do is said in a line that begins with NOT DONE. In CI, which has to be able to, it is a failure.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import './lib/exit-on-signals.js';
import { npmCommand } from './lib/npm.js';
import { tooNew } from './lib/symbol-versions.js';
import { checkArm64 } from './package/arm64.js';
import { checkClone } from './package/clone.js';
import { checkFallback } from './package/fallback.js';
import { checkInstallers } from './package/install.js';
import { checkNats } from './package/nats.js';
import { cleanEnv, run } from './package/process.js';
import { checkProject } from './package/project.js';
import { binOf } from './package/repository.js';
import { install } from './verify/install.js';

const root = fileURLToPath(new URL('..', import.meta.url));
// The real path, since that is what Node sees: on macOS the directory for temporary files is a link.
const temporary = realpathSync(mkdtempSync(join(tmpdir(), 'ballermann-package-')));
process.once('exit', () => rmSync(temporary, { recursive: true, force: true }));

let passed = 0;
let failed = 0;

const archs = (await canDo('binaries for arm64', ['g++-aarch64-linux-gnu'])) ? ['x64', 'arm64'] : ['x64'];
const tarball = await check(
  `npm pack makes a tarball, with a binary for each Node on ${archs.join(' and ')}`,
  pack,
);
if (tarball !== undefined) {
  await check('the tarball holds the intended files and no others', () => checkFiles(tarball.files));
  const lint = (name, ...args) => run(process.execPath, [binOf(name), ...args], { cwd: root });
  await check('a library that asks for more than Node itself does is noticed', checkTooNew);
  await check('publint finds nothing', () => lint('publint', 'run', tarball.path, '--strict'));
  await check('the types resolve', () =>
    lint('@arethetypeswrong/cli', tarball.path, '--profile', 'esm-only'),
  );
  const context = { root, cache: join(root, '.matrix'), temporary, tarball: tarball.path, check, canDo };
  await checkProject(context);
  await checkNats(context);
  await checkInstallers(context);
  await checkFallback(context);
  await checkClone(context);
  const emulator = ['qemu-user-static', 'libstdc++6-arm64-cross'];
  if (archs.includes('arm64') && (await canDo('the package on arm64', emulator))) await checkArm64(context);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

/** Runs one check and counts it. Gives what it gave, or undefined when it failed. What it returns as text is said. */
async function check(name, work) {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1_000).toFixed(1)} s`;
  try {
    const result = await work();
    passed += 1;
    console.log(`ok: ${name}${typeof result === 'string' ? `: ${result}` : ''} (${seconds()})`);
    return result ?? null;
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${name} (${seconds()})\n${error.message}`);
    return undefined;
  }
}

/** Whether these Debian packages are here, or could be installed. Says what is not done without them. */
async function canDo(what, packages) {
  try {
    await install(packages);
    return true;
  } catch (error) {
    const reason = error.message.split('\n')[0];
    if (process.env.CI) failed += 1;
    const verdict = process.env.CI ? 'FAILED' : 'NOT DONE';
    console.log(`${verdict}: ${what}, because ${packages.join(' or ')} cannot be installed: ${reason}`);
    return false;
  }
}

async function pack() {
  await install(['g++', 'make', 'python3']);
  // What prepack does. Without it, npm's answer is the only output.
  const prebuild = [
    join(root, 'scripts', 'prebuild.js'),
    ...(archs.includes('arm64') ? [] : ['--only', 'x64']),
  ];
  await run(process.execPath, prebuild, { cwd: root, timeoutMs: 900_000 });
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', temporary];
  const [npm, npmArgs] = npmCommand(args);
  const { stdout } = await run(npm, npmArgs, { cwd: root, env: cleanEnv() });
  const [{ filename, files }] = Object.values(JSON.parse(stdout)); // an array, from npm 12 on an object
  return { path: join(temporary, filename), files: files.map(({ path }) => path).sort() };
}

/** The binaries have passed this check as they were built. */
async function checkTooNew() {
  const [source, library] = [join(temporary, 'new.c'), join(temporary, 'new.so')];
  writeFileSync(source, 'extern int fstat(int, void*); int f(void) { return fstat(0, 0); }');
  await run('gcc', ['-shared', '-fPIC', '-o', library, source], { cwd: temporary });
  assert.deepEqual(tooNew(library, 'objdump'), ['fstat GLIBC_2.33']);
}

/** Every source, its compiled form, the page, the binaries and what else it takes to build one, the docs and the papers. */
function checkFiles(files) {
  const sources = filesUnder('src').filter((file) => /\.c?ts$/.test(file));
  const compiled = sources.flatMap((source) => {
    const [, base, kind] = /^src(.*)\.(c?)ts$/.exec(source);
    const [js, types] = [`dist${base}.${kind}js`, `dist${base}.d.${kind}ts`];
    return [js, `${js}.map`, types, `${types}.map`];
  });
  const bundled = ['dist/preload.cjs', 'dist/preload.cjs.map', 'src/admin/page.html'];
  const native = filesUnder('native').filter((file) => /\.(?:cc|hpp|h)$/.test(file));
  const binaries = archs.flatMap((arch) =>
    [115, 127, 137, 147].map((abi) => `prebuilds/linux-${arch}-glibc-${abi}.node`),
  );
  const api = ['LICENSE.md', 'index.js', 'napi-inl.deprecated.h', 'napi-inl.h', 'napi.h', 'package.json'];
  const build = [
    'prebuilds/source/binding.gyp',
    ...api.map((file) => `prebuilds/source/node-addon-api/${file}`),
    'scripts/build-addon.js',
    ...['compile-addon', 'compiler', 'headers'].map((name) => `scripts/lib/${name}.js`),
  ];
  const docs = filesUnder('docs').filter((file) => /\.(?:md|svg)$/.test(file));
  const papers = ['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE'];
  const intended = new Set([
    ...sources,
    ...compiled,
    ...bundled,
    ...native,
    ...binaries,
    ...build,
    ...docs,
    ...papers,
  ]);
  const present = new Set(files);
  const wrong = [
    ...files.filter((file) => !intended.has(file)).map((file) => `not intended: ${file}`),
    ...[...intended].filter((file) => !present.has(file)).map((file) => `missing: ${file}`),
  ];
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
}

/** The files under a directory of the repository, as paths from the root. */
function filesUnder(directory) {
  return readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length));
}
