/**
 * Runs Node's own tests of node:cluster on the bare Node, and again with every worker a replica that listens balanced:
 * what passes bare has to pass with us, but for what docs/verification.md says. The tests are not part of this repository.
 *
 *   node scripts/node-cluster-tests.js FOLDER [part of a file name ...] [--sticky] [--timeout seconds] [--repeat count]
 *
 * FOLDER is the folder `test` of a checkout of Node, best of the version that runs this. A worker that exits with another
 * code than on the bare Node fails the test, whatever its primary says.
 */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { boundedRun } from './lib/bounded-run.js';
import { positive } from './lib/options.js';

const adapter = fileURLToPath(new URL('node-cluster-tests/adapter.cjs', import.meta.url));
const exits = fileURLToPath(new URL('node-cluster-tests/exits.cjs', import.meta.url));
const notes = mkdtempSync(join(tmpdir(), 'ballermann-exits-'));
process.once('exit', () => rmSync(notes, { recursive: true, force: true }));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sticky: { type: 'boolean', default: false },
    timeout: { type: 'string', default: '20' },
    repeat: { type: 'string', default: '1' },
  },
});
const [folder, ...parts] = positionals;
if (folder === undefined || !existsSync(join(folder, 'common', 'index.js')))
  throw new RangeError(`expected the folder 'test' of a checkout of Node, got ${folder}`);
const root = resolve(folder);

/** What is otherwise with us on purpose. */
const intended = {
  'parallel/test-cluster-net-listen-backlog.js': 'it spies on net.Server in the primary, which we do not use',
  'parallel/test-cluster-accept-fail.js': "it has Node's round robin fail to accept, which we do not use",
  'parallel/test-cluster-worker-forced-exit.js':
    'worker.process.disconnect() is an orderly leave as well, at whose end the script may exit as it likes',
  'parallel/test-cluster-worker-no-exit.js':
    'its worker would go on after the stop, for a connection of its own',
  ...(!values.sticky && {
    'parallel/test-cluster-worker-handle-close.js':
      'its worker refuses what the primary sends, and nothing is sent',
  }),
  ...(values.sticky && {
    'parallel/test-cluster-net-server-drop-connection.js': 'all its connections are of one remote address',
  }),
};

const timeoutMs = positive('timeout', values.timeout) * 1_000;
const repeat = Math.ceil(positive('repeat', values.repeat));

const counts = { passed: 0, skipped: 0, 'fails bare': 0, intended: 0, FAILED: 0 };
for (const file of testFiles()) {
  for (let round = 0; round < repeat; round++) {
    const bare = await runTest(file, []);
    const ours = bare.verdict === 'passed' ? await runTest(file, [adapter], bare.exits) : undefined;
    const verdict = verdictOf(file, bare, ours);
    counts[verdict]++;
    console.log(`${verdict}: ${file}: ${bare.seconds} s bare, ${ours?.seconds ?? '-'} s with us`);
    if (verdict === 'intended') console.log(`    ${intended[file]}`);
    else if (verdict !== 'passed') console.log(detailsOf(ours ?? bare));
  }
}
console.log(
  Object.entries(counts)
    .map(([verdict, count]) => `${count} ${verdict}`)
    .join(', '),
);
if (counts.FAILED > 0 || counts.passed === 0) process.exitCode = 1;

/** @param ours undefined where it did not pass bare. */
function verdictOf(file, bare, ours) {
  if (ours === undefined) return bare.verdict === 'skipped' ? 'skipped' : 'fails bare';
  return ours.verdict === 'FAILED' && Object.hasOwn(intended, file) ? 'intended' : ours.verdict;
}

function detailsOf({ problems, output }) {
  return [...problems, output.trim()].join('\n').replace(/^/gm, '    ');
}

/** Those that use node:cluster. */
function testFiles() {
  return ['parallel', 'sequential']
    .filter((part) => existsSync(join(root, part)))
    .flatMap((part) => readdirSync(join(root, part)).map((file) => join(part, file)))
    .filter(
      (file) => /\.m?js$/.test(file) && (parts.length === 0 || parts.some((part) => file.includes(part))),
    )
    .filter((file) => /(require\(|from )'(node:)?cluster'/.test(readFileSync(join(root, file), 'utf8')))
    .sort();
}

/** A test says itself which options of node it wants. */
function flagsOf(file) {
  const [, flags] = /^\/\/ Flags: +(--.*)$/m.exec(readFileSync(join(root, file), 'utf8')) ?? [];
  return flags?.trim().split(/\s+/) ?? [];
}

/** @param wanted the exit codes that its workers are to have, where they are known. */
async function runTest(file, preloads, wanted) {
  const started = performance.now();
  const mark = `${process.pid}/${started}`;
  const note = join(notes, `${started}`);
  const { end, output, hung, problems } = await boundedRun([...flagsOf(file), join(root, file)], {
    cwd: root,
    env: {
      BALLERMANN_STICKY: values.sticky ? '1' : '',
      BALLERMANN_EXITS: note,
      // Inherited, also by a primary that the test itself starts.
      NODE_OPTIONS: [exits, ...preloads].map((preload) => `--require ${preload}`).join(' '),
      NODE_COMMON_PORT: String(await freePorts()),
    },
    mark,
    timeoutMs,
  });
  if (!hung && end !== 'exit code 0') problems.unshift(end);
  const codes = existsSync(note) ? readFileSync(note, 'utf8').trim().split('\n').sort().join(' ') : '';
  if (wanted !== undefined && codes !== wanted)
    problems.push(
      `workers exited with ${codes || 'nothing but 0'}; on the bare Node with ${wanted || 'nothing but 0'}`,
    );
  const isSkipped = problems.length === 0 && /^1\.\.0 # Skipped/m.test(output);
  return {
    verdict: isSkipped ? 'skipped' : problems.length > 0 ? 'FAILED' : 'passed',
    problems,
    output,
    exits: codes,
    seconds: ((performance.now() - started) / 1_000).toFixed(1),
  };
}

/** For the tests that want a certain port and the one above it: below those that the system gives out. */
async function freePorts() {
  for (;;) {
    const port = 12_346 + Math.floor(Math.random() * 15_000);
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
}

async function isFree(port) {
  const server = createServer();
  const bound = new Promise((settle) => {
    server.once('listening', () => settle(true)).once('error', () => settle(false));
  });
  server.listen(port);
  if (!(await bound)) return false;
  server.close();
  await once(server, 'close');
  return true;
}
