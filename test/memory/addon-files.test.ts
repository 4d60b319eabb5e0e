/** Which files the addon may be loaded from, and what the error says where none fits: by platform, C library and ABI. */

import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addonPath } from '#src/memory/addon.js';
import { addonFiles, advice, thisTarget } from '#src/memory/addon-files.js';
import { fixture } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

const target = { platform: 'linux', arch: 'arm64', libc: 'glibc', node: 'v24.1.0', abi: '137' } as const;

test('what was built on this machine comes before the binary that fits platform, C library and ABI', () => {
  assert.equal(addonFiles(target), [
    'build/Release/ballermann.node',
    'build/Debug/ballermann.node',
    'prebuilds/linux-arm64-glibc-137.node',
  ]);
  assert.is(addonFiles({ ...target, libc: 'musl' }).at(-1), 'prebuilds/linux-arm64-musl-137.node');
  const mac = { ...target, platform: 'darwin', libc: undefined };
  assert.is(addonFiles(mac).at(-1), 'prebuilds/darwin-arm64-137.node');
});

test('this process knows what it needs', () => {
  const { platform, arch, libc, node, abi } = thisTarget();
  assert.equal(
    [platform, arch, node, abi],
    [process.platform, process.arch, process.version, process.versions.modules],
  );
  const { header } = process.report.getReport() as { header: object };
  assert.is(libc === 'glibc', 'glibcVersionRuntime' in header);
});

test('the advice is three lines: what is missing, what to install, what to run', () => {
  const lines = advice(target).split('\n');
  assert.is(lines.length, 3);
  assert.is(lines[0], 'ballermann has no addon that loads in Node v24.1.0 (ABI 137) on linux-arm64 (glibc)');
  assert.is(lines[1], 'To build one, install a compiler: apt-get install python3 make g++');
  assert.match(lines[2] ?? '', /^Then run: node '?\/.*\/scripts\/build-addon\.js'?$/);
  assert.match(
    advice({ ...target, libc: 'musl' }),
    'on linux-arm64 (musl)\nTo build one, install a compiler: apk add python3',
  );
  assert.match(
    advice({ ...target, platform: 'darwin', libc: undefined }),
    /darwin-arm64\n.*: xcode-select --install\n/,
  );
});

test('an addon that does not load is passed over for the binary of the package', async () => {
  using folder = new Folder();
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  for (const part of ['dist', 'package.json']) cpSync(`${root}${part}`, folder.at(part), { recursive: true });
  const [local, debug, prebuilt] = addonFiles(thisTarget()).map((file) => folder.at(file));
  assert.ok(local && debug && prebuilt);
  for (const file of [local, debug, prebuilt]) mkdirSync(dirname(file), { recursive: true });
  writeFileSync(local, 'half of a file');
  writeFileSync(debug, '');
  cpSync(addonPath(), prebuilt);
  const copy: typeof import('ballermann') = await import(pathToFileURL(folder.at('dist/index.js')).href);
  const supervisor = await copy.supervise({ exec: fixture('echo.mjs'), replicas: 1 });
  await supervisor.close();
});

test.run();
