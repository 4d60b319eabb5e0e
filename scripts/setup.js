/**
 * Brings a clone to the state in which everything runs: packages installed, addon built, TypeScript compiled.
 * Uses nothing but Node itself, so it can be the first thing that runs. What is done already is skipped in
 * silence. `--debug` builds the addon without optimisation.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingCompiler } from './lib/compiler.js';
import { ownHeaders } from './lib/headers.js';
import { withLock } from './lib/lock.js';
import { npmCommand } from './lib/npm.js';
import { sourceDigest } from './lib/source-digest.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const configuration = process.argv.includes('--debug') ? 'Debug' : 'Release';
const at = (...parts) => join(root, ...parts);

await withLock(at('.setup-lock'), async () => {
  installPackages();
  buildAddon();
  compileTypeScript();
  await bundlePreload();
});

function installPackages() {
  if (isInstalled()) return;
  console.error('setup: installing packages');
  // Development packages are wanted even where NODE_ENV says production.
  const args = ['ci', '--ignore-scripts', '--include=dev', '--no-audit', '--no-fund'];
  run(...npmCommand(args));
}

/** Whether node_modules holds just what package-lock.json asks for, by npm's own record of what it installed. */
function isInstalled() {
  const record = at('node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const wanted = JSON.parse(readFileSync(at('package-lock.json'), 'utf8')).packages;
  const present = JSON.parse(readFileSync(record, 'utf8')).packages;
  const same = (path) =>
    wanted[path]?.version === present[path]?.version && wanted[path]?.integrity === present[path]?.integrity;
  // Optional packages are for other platforms when they are missing.
  const isMissing = (path) => path !== '' && !wanted[path].optional && !(path in present);
  return Object.keys(present).every(same) && !Object.keys(wanted).some(isMissing);
}

function buildAddon() {
  const addon = at('build', configuration, 'ballermann.node');
  const stampFile = at('build', 'ballermann.stamp');
  const stamp = addonStamp();
  if (existsSync(addon) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  const missing = missingCompiler();
  if (missing !== undefined) {
    console.error(`setup: ${missing}`);
    process.exit(1);
  }
  console.error('setup: building the addon');
  rmSync(stampFile, { force: true });
  const args = [at('node_modules', 'node-gyp', 'bin', 'node-gyp.js'), 'rebuild', '--jobs=max'];
  if (configuration === 'Debug') args.push('--debug');
  const headers = ownHeaders();
  // By the environment, which node-gyp lets win: npm may have put another Node's headers there.
  run(process.execPath, args, headers === undefined ? {} : { npm_config_nodedir: headers });
  writeFileSync(stampFile, stamp);
}

/** Changes whenever the addon has to be built anew. */
function addonStamp() {
  const { platform, arch, versions } = process;
  return `${configuration} ${platform} ${arch} ${versions.modules} ${sourceDigest(root)}\n`;
}

function compileTypeScript() {
  removeStaleOutput(at('dist'), at('src'));
  removeStaleOutput(at('out', 'test'), at('test'));
  removeStaleOutput(at('out', 'bench'), at('bench'));
  run(process.execPath, [at('node_modules', 'typescript', 'bin', 'tsc'), '-b', at('test'), at('bench')]);
  for (const file of Object.values(manifest().bin)) chmodSync(at(file), 0o755); // the compiler makes plain files
}

function manifest() {
  return JSON.parse(readFileSync(at('package.json'), 'utf8'));
}

/** Makes one CommonJS file of all that a replica needs before its script runs. */
async function bundlePreload() {
  const { build } = await import('esbuild'); // not before the packages are installed
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['src/replica/preload.ts'],
    outfile: 'dist/preload.cjs',
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20.19',
    sourcemap: true,
    sourcesContent: false, // the package has them
    define: { 'import.meta.url': 'preloadUrl' },
    banner: { js: `"use strict";\nconst preloadUrl = require('node:url').pathToFileURL(__filename).href;` },
    write: false,
    logLevel: 'error',
  });
  // Only what has changed, and in one step: something may be running.
  for (const { path, text } of outputFiles) {
    if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }
}

/** The compiler leaves the output of a source that is gone; it would still be run, or published. */
function removeStaleOutput(output, source) {
  for (const file of filesUnder(output)) {
    if (file.startsWith(at('dist', 'preload.cjs'))) continue; // bundled
    const match = /^(.*?)\.(?:d\.)?([mc]?)[jt]s(?:\.map)?$/.exec(relative(output, file));
    if (match !== null && !existsSync(join(source, `${match[1]}.${match[2]}ts`))) rmSync(file);
  }
}

function filesUnder(directory) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** Runs a command in silence. If it fails, so does the setup, with the command's own words and exit code. */
function run(command, args, env = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 28,
  });
  if (result.status === 0) return;
  process.stdout.write(result.stdout ?? '');
  process.stderr.write(result.stderr ?? '');
  const why =
    result.error?.message ?? (result.signal ? `ended by ${result.signal}` : `exit code ${result.status}`);
  console.error(`setup: ${[command, ...args].join(' ')}: ${why}`);
  process.exit(result.status ?? 1);
}
