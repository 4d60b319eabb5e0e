/**
 * Runs the whole suite on every Node that is supported, the addon compiled for each.
 *
 *   node scripts/matrix.js [version ...] [--others] [--kinds kind,kind] [--only part of a file name ...]
 *
 * A version is a major, of which the newest is taken, or one to the digit. `--others` leaves out the major that runs
 * this; `--kinds plain` the slow files. A Node comes from npm, headers included, and is kept in .matrix/ with a copy of the sources, in which
 * the addon and the compiled tests of that Node lie; remove that folder to get newer ones.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withLock } from './lib/lock.js';
import { installNode, SUPPORTED } from './lib/nodes.js';
import { runSilently } from './lib/run-silently.js';
import { runSuite } from './lib/suite.js';

/** What a tree makes for itself, and what is no source. */
const NOT_COPIED = new Set([
  '.git',
  '.matrix',
  'build',
  'coverage',
  'dist',
  'node_modules',
  'out',
  'prebuilds',
]);

const root = fileURLToPath(new URL('..', import.meta.url));
const cache = join(root, '.matrix');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    others: { type: 'boolean', default: false },
    kinds: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
  },
});
const majorOf = (version) => version.split('.')[0];
const versions = (positionals.length > 0 ? positionals : SUPPORTED).filter(
  (version) => !(values.others && majorOf(version) === majorOf(process.versions.node)),
);
const wrong = versions.find((version) => !/^\d+(\.\d+\.\d+)?$/.test(version));
if (wrong !== undefined) throw new RangeError(`expected a version such as 22 or 22.19.0, got ${wrong}`);

checkPackages();
mkdirSync(cache, { recursive: true });
const results = [];
await withLock(join(cache, 'lock'), async () => {
  for (const version of versions) results.push(await runOn(version));
});
summarize();

/** Every Node takes the packages of this tree. That is right as long as none has an addon, built for one Node. */
function checkPackages() {
  const addon = readdirSync(join(root, 'node_modules'), { recursive: true }).find((file) =>
    file.endsWith('.node'),
  );
  if (addon !== undefined) throw new Error(`node_modules/${addon} is built for one Node: it can't be shared`);
}

/** What came of one Node. That it could not be installed or set up counts as one failure. */
async function runOn(version) {
  const folder = join(cache, version);
  try {
    const node = installNode(version, folder);
    console.log(`=== Node ${node.version}`);
    const tree = copyTree(join(folder, 'tree'));
    const env = { ...process.env, PATH: `${dirname(node.path)}${delimiter}${process.env.PATH}` };
    runSilently(node.path, [join(tree, 'scripts', 'setup.js')], { cwd: tree, env });
    const result = await runSuite({
      node: node.path,
      root: tree,
      env,
      kinds: values.kinds,
      parts: values.only,
    });
    if (result.failures.length > 0) console.log(result.output.replace(/^/gm, `${version} | `));
    console.log(`=== Node ${node.version}: passed ${result.passed}, failed ${result.failed}`);
    return { ...result, version: node.version };
  } catch (error) {
    console.log(`=== Node ${version}: ${error.message}`);
    return { version, passed: 0, failed: 1, failures: [error.message.split('\n')[0]], seconds: 0 };
  }
}

/** Makes the sources of `tree` those of this one; what it has built and compiled stays. */
function copyTree(tree) {
  mkdirSync(tree, { recursive: true });
  for (const name of readdirSync(tree)) {
    if (!NOT_COPIED.has(name)) rmSync(join(tree, name), { recursive: true });
  }
  for (const name of readdirSync(root)) {
    if (NOT_COPIED.has(name) || name.startsWith('.setup-lock')) continue;
    cpSync(join(root, name), join(tree, name), {
      recursive: true,
      preserveTimestamps: true,
      filter: (path) => !path.split(sep).includes('node_modules') || path === join(root, name),
    });
  }
  const packages = join(tree, 'node_modules');
  if (!existsSync(packages)) symlinkSync(join('..', '..', '..', 'node_modules'), packages);
  return tree;
}

function summarize() {
  const row = (...cells) =>
    console.log(cells.map((cell, i) => String(cell).padStart(i === 0 ? 12 : 9)).join(''));
  row('Node', 'passed', 'failed', 'seconds');
  for (const { version, passed, failed, seconds } of results)
    row(version, passed, failed, seconds.toFixed(1));
  for (const { version, failures } of results) {
    for (const failure of failures) console.log(`failed on Node ${version}: ${failure}`);
  }
  const sum = (key) => results.reduce((all, result) => all + result[key], 0);
  console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
  if (results.some(({ failures }) => failures.length > 0)) process.exitCode = 1;
}
