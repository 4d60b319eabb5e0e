/** Point 3: the addon itself under AddressSanitizer and UBSan, in real clusters: some of the tests, as they are. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ownHeaders } from '../lib/headers.js';
import { attempt, run } from './process.js';

export const packages = ['g++', 'make', 'python3'];

/** Compiled test files: those that use the segment most, in primary, replicas and worker threads. */
const TESTS = {
  short: ['memory/ring', 'memory/segment', 'memory/rotation', 'pools/death', 'memory/hostile-memory.long'],
  long: [
    'memory/ring',
    'memory/segment',
    'memory/rotation',
    'pools/death',
    'pools/ratio.slow',
    'pools/window',
    'replicas/calls',
    'supervision/restart',
    'supervision/shutdown',
    'memory/hostile-memory.long',
    'listening/listening',
    'servers/servers',
    'liveness/hung.slow',
  ],
};

export async function addonAsan({ root, out, long }) {
  await run(process.execPath, [join(root, 'scripts', 'setup.js')], { seconds: 600 });
  const copy = join(out, 'addon');
  const logs = join(copy, 'sanitizer');
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy, { recursive: true });
  // A copy of the project with an addon of its own. The tests find both by relative paths.
  for (const part of [
    'native',
    'dist',
    'binding.gyp',
    'package.json',
    join('out', 'test'),
    join('test', 'fixtures'),
  ]) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const sanitize = '-fsanitize=address,undefined -fno-sanitize=vptr'; // Node has no type information for vptr
  const headers = ownHeaders();
  await run(
    process.execPath,
    [
      join(root, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'),
      'rebuild',
      ...(headers === undefined ? [] : [`--nodedir=${headers}`]),
    ],
    {
      cwd: copy,
      seconds: 600,
      env: { CXXFLAGS: `${sanitize} -g -fno-omit-frame-pointer`, LDFLAGS: sanitize },
    },
  );

  const library = spawnSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim();
  mkdirSync(logs);
  const env = {
    LD_PRELOAD: library, // Node is built without it, and it has to come first
    // Leaks: V8 and Node leave at exit what the system takes back. A report goes to a file: replicas inherit this.
    ASAN_OPTIONS: `detect_leaks=0:halt_on_error=1:log_path=${join(logs, 'asan')}`,
    UBSAN_OPTIONS: `halt_on_error=1:print_stacktrace=1:log_path=${join(logs, 'ubsan')}`,
  };
  let passed = 0;
  const files = TESTS[long ? 'long' : 'short'].map((name) => join('out', 'test', `${name}.test.js`));
  for (const file of files) {
    const { output, code, signal } = await attempt(process.execPath, [file], {
      cwd: copy,
      seconds: 480,
      env,
    });
    const reports = readdirSync(logs);
    if (reports.length > 0) {
      throw new Error(
        `${file}: ${(
          await run(
            'cat',
            reports.map((name) => join(logs, name)),
          )
        ).slice(0, 4_000)}`,
      );
    }
    if (code !== 0) throw new Error(`${file}: ${signal ?? `exit code ${code}`}\n${output.slice(-3_000)}`);
    passed += Number(output.match(/Passed: +(\d+)/)?.[1] ?? 0);
  }
  if (passed === 0) throw new Error('no test ran');
  return `${passed} tests of ${files.length} files in clusters, no report`;
}
