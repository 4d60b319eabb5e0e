/**
 * Tests the package as its users get it: packs it, installs the tarball in a fresh project outside the
 * repository, and uses it there from ESM, CommonJS and TypeScript. The project's files are in test/package.
 */
import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import './lib/exit-on-signals.js';
import { ownHeaders } from './lib/headers.js';
import { npmCommand } from './lib/npm.js';
import { killRun, leftovers, MARK } from './lib/sessions.js';

const COMMAND_TIMEOUT_MS = 300_000;
const SCRIPT_TIMEOUT_MS = 30_000;
/** How long the replicas may take to end after their primary. */
const GRACE_MS = 1_000;
/** What a script of the project prints when it has seen nothing wrong. */
const SUCCESS = 'all answers right\n';

const root = fileURLToPath(new URL('..', import.meta.url));
// The real path, since that is what Node sees: on macOS the directory for temporary files is a link.
const project = realpathSync(mkdtempSync(join(tmpdir(), 'ballermann-package-')));
const running = new Set();
process.once('exit', () => {
  running.forEach(killRun);
  rmSync(project, { recursive: true, force: true });
});

let passed = 0;
let failed = 0;

const tarball = await check('npm pack makes a tarball', pack);
if (tarball !== undefined) {
  await check('the tarball holds the intended files and no others', () => checkFiles(tarball.files));
  const lint = (name, ...args) => run(process.execPath, [binOf(name), ...args], { cwd: root });
  await check('publint finds nothing', () => lint('publint', 'run', tarball.path, '--strict'));
  await check('the types resolve', () =>
    lint('@arethetypeswrong/cli', tarball.path, '--profile', 'esm-only'),
  );
  const installed = await check('npm install compiles the addon in a fresh project', () =>
    install(tarball.path),
  );
  if (installed !== undefined) await checkProject();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

/** Runs one check and counts it. Gives what it gave, or undefined when it failed. */
async function check(name, work) {
  try {
    const result = await work();
    passed += 1;
    console.log(`ok: ${name}`);
    return result ?? null;
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${name}\n${error.message}`);
    return undefined;
  }
}

async function pack() {
  // The setup has built everything, and npm's answer is to be the only output.
  const { stdout } = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', project], root);
  const [{ filename, files }] = JSON.parse(stdout);
  return { path: join(project, filename), files: files.map(({ path }) => path).sort() };
}

/** Every source, its compiled form, what the addon is built from, and the papers. */
function checkFiles(files) {
  const sources = filesUnder('src').filter((file) => /\.c?ts$/.test(file));
  const compiled = sources.flatMap((source) => {
    const [, base, kind] = /^src(.*)\.(c?)ts$/.exec(source);
    const [js, types] = [`dist${base}.${kind}js`, `dist${base}.d.${kind}ts`];
    return [js, `${js}.map`, types, `${types}.map`];
  });
  const bundled = ['dist/preload.cjs', 'dist/preload.cjs.map'];
  const native = filesUnder('native').filter((file) => /\.(?:cc|hpp|h)$/.test(file));
  const papers = ['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE', 'binding.gyp'];
  const intended = new Set([...sources, ...compiled, ...bundled, ...native, ...papers]);
  const present = new Set(files);
  const wrong = [
    ...files.filter((file) => !intended.has(file)).map((file) => `not intended: ${file}`),
    ...[...intended].filter((file) => !present.has(file)).map((file) => `missing: ${file}`),
  ];
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
}

async function install(tarballPath) {
  for (const directory of ['esm', 'cjs', 'both', 'ts']) {
    cpSync(join(root, 'test', 'package', directory), join(project, directory), { recursive: true });
  }
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'sample', private: true }));
  const sameAsHere = ['typescript', '@types/node'].map((name) => `${name}@${versionOf(name)}`);
  const headers = ownHeaders();
  await npm(['install', '--no-audit', '--no-fund', '--prefer-offline', tarballPath, ...sameAsHere], project, {
    ...(headers === undefined ? {} : { npm_config_nodedir: headers }),
  });
  const addon = join('node_modules', 'ballermann', 'build', 'Release', 'ballermann.node');
  if (!existsSync(join(project, addon))) throw new Error(`not there after npm install: ${addon}`);
}

async function checkProject() {
  const replicas = { ESM: 'esm/replica.mjs', CommonJS: 'cjs/replica.cjs' };
  for (const [kind, replica] of Object.entries(replicas)) {
    await check(`an ESM script with ${kind} replicas`, () => runScript('esm/main.mjs', replica));
    await check(`a CommonJS script with ${kind} replicas`, () => runScript('cjs/main.cjs', replica));
  }
  await check(
    'require() and import of both faces in one process, in the folders that pnpm makes',
    async () => {
      const folder = join(project, 'pnpm');
      const store = join('.pnpm', 'ballermann@0.0.0', 'node_modules', 'ballermann');
      cpSync(join(project, 'both'), folder, { recursive: true });
      const installed = join(project, 'node_modules', 'ballermann');
      for (const part of ['package.json', 'dist', join('build', 'Release', 'ballermann.node')])
        cpSync(join(installed, part), join(folder, 'node_modules', store, part), { recursive: true });
      symlinkSync(store, join(folder, 'node_modules', 'ballermann'));
      await runScript('pnpm/main.cjs', 'pnpm/replica.cjs');
    },
  );
  for (const [format, ending] of [
    ['esm', 'mjs'],
    ['cjs', 'cjs'],
  ]) {
    await check(`a bundled script (${format}) with the package external, and bundled replicas`, async () => {
      const [main, replica] = ['main', 'replica'].map((name) => `${format}/${name}.${ending}`);
      await bundle(main, format, ['ballermann']);
      await bundle(replica, format, []);
      await runScript(`bundled/${main}`, `bundled/${replica}`);
    });
  }
  await check('a script in node -e', () =>
    runScript(['-e', `import(${JSON.stringify(join(project, 'esm', 'main.mjs'))})`, 'main'], replicas.ESM),
  );
  const compiler = join(project, 'node_modules', 'typescript', 'bin', 'tsc');
  const built = await check('a strict TypeScript project compiles', () =>
    run(process.execPath, [compiler, '-p', 'ts'], { cwd: project }),
  );
  if (built === undefined) return;
  for (const [kind, replica] of Object.entries({ ...replicas, TypeScript: 'ts/out/replica.mjs' })) {
    await check(`a TypeScript project with ${kind} replicas`, () => runScript('ts/out/main.mjs', replica));
  }
}

function bundle(script, format, external) {
  const entryPoints = [join(project, script)];
  const outfile = join(project, 'bundled', script);
  return build({
    entryPoints,
    outfile,
    format,
    external,
    bundle: true,
    platform: 'node',
    logLevel: 'silent',
  });
}

/** @param script a file of the project, or the arguments of Node's that stand for one. */
async function runScript(script, replica) {
  const args = [...(Array.isArray(script) ? script : [join(project, script)]), join(project, replica)];
  const { stdout, stderr } = await run(process.execPath, args, {
    cwd: project,
    timeoutMs: SCRIPT_TIMEOUT_MS,
  });
  if (stdout !== SUCCESS) throw new Error(`expected '${SUCCESS.trim()}' and nothing else, got:\n${stdout}`);
  // Node may say that loading an ES module with require() is experimental.
  const said = stderr
    .split('\n')
    .filter((line) => line !== '' && !/ExperimentalWarning: |--trace-warnings/.test(line));
  if (said.length > 0) throw new Error(`unexpected on stderr:\n${said.join('\n')}`);
}

function npm(args, cwd, env = {}) {
  // What npm told the script that runs us is about this repository, not about the project.
  const clean = Object.entries(process.env).filter(
    ([key]) => !/^npm_(?!config_)|^npm_config_local_prefix$/i.test(key),
  );
  return run(...npmCommand(args), {
    cwd,
    env: { ...Object.fromEntries(clean), ...env },
    timeoutMs: COMMAND_TIMEOUT_MS,
  });
}

/** Runs a command to its end. Rejects, with all it printed, if it fails, hangs or leaves a process behind. */
async function run(command, args, { cwd, env = process.env, timeoutMs = COMMAND_TIMEOUT_MS }) {
  const mark = `${process.pid}/${performance.now()}`;
  const child = spawn(command, args, {
    cwd,
    detached: true,
    env: { ...env, [MARK]: mark },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const processes = { session: child.pid, mark };
  if (child.pid !== undefined) running.add(processes);
  let hung = false;
  const timer = setTimeout(() => {
    hung = true;
    killRun(processes);
  }, timeoutMs);
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  const end = await ended.finally(() => clearTimeout(timer));
  const left = hung ? [] : await leftovers(processes, GRACE_MS);
  killRun(processes);
  running.delete(processes);
  await closed;

  const problems = left.map(({ pid, command: line }) => `left a process behind: ${pid} ${line}`);
  if (hung) problems.push(`not done after ${timeoutMs / 1_000} s`);
  else if (end !== 'exit code 0') problems.push(end);
  if (problems.length === 0) return { stdout, stderr };
  throw new Error([[command, ...args].join(' '), ...problems, stdout, stderr].join('\n'));
}

function manifestOf(name) {
  return JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'));
}

function versionOf(name) {
  return manifestOf(name).version;
}

/** The path of a package's only, or first, command. */
function binOf(name) {
  const { bin } = manifestOf(name);
  return join(root, 'node_modules', name, typeof bin === 'string' ? bin : Object.values(bin)[0]);
}

/** The files under a directory of the repository, as paths from the root. */
function filesUnder(directory) {
  return readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length));
}
