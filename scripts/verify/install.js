/** Installs the Debian packages that a check needs and that are not there. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { hasCommand } from '../lib/compiler.js';
import { findNatsServer } from '../lib/nats-server.js';
import { run } from './process.js';

const answer = (command, ...args) => spawnSync(command, args, { encoding: 'utf8' }).stdout?.trim() ?? '';

/** clang's own library directory, which holds the sanitizers and libFuzzer where they are installed. */
function hasFuzzer() {
  const directory = answer('clang++', '--print-runtime-dir');
  const parent = directory.replace(/[^/]*$/, '');
  return [directory, `${parent}linux`].some(
    (place) => existsSync(place) && readdirSync(place).some((file) => file.startsWith('libclang_rt.fuzzer')),
  );
}

/** How to see that a package is there, and what it is called. */
const packages = {
  'g++': { present: () => hasCommand('g++') },
  make: { present: () => hasCommand('make') },
  python3: { present: () => hasCommand('python3') },
  'g++-aarch64-linux-gnu': { present: () => hasCommand('aarch64-linux-gnu-g++') },
  'qemu-user-static': { present: () => hasCommand('qemu-aarch64-static') },
  'libstdc++6-arm64-cross': { present: () => existsSync('/usr/aarch64-linux-gnu/lib/libstdc++.so.6') },
  'nats-server': { present: () => findNatsServer() !== undefined },
  'relacy-dev': { present: () => existsSync('/usr/include/relacy/relacy.hpp') },
  spin: { present: () => hasCommand('spin') },
  clang: { present: () => hasCommand('clang++') },
  // Its name holds clang's version, so it is looked for when clang is there.
  'libclang-rt': {
    present: hasFuzzer,
    name: () => `libclang-rt-${answer('clang++', '-dumpversion').split('.')[0]}-dev`,
  },
};

/** A mirror may be out of reach for a moment. */
const RETRY = ['-o', 'Acquire::Retries=5'];

let updated = false;

/** @param wanted names of `packages` above, in the order in which they are to be installed. */
export async function install(wanted) {
  for (const key of wanted) {
    const { present, name } = packages[key];
    if (present()) continue;
    const debian = name?.() ?? key;
    console.log(`installing ${debian}`);
    if (!updated) await asRoot('apt-get', ...RETRY, 'update', '-qq');
    updated = true;
    await asRoot(
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      ...RETRY,
      'install',
      '-y',
      '-qq',
      '--no-install-recommends',
      debian,
    );
    if (!present()) throw new Error(`${debian} is installed, but what it brings is not found`);
  }
}

function asRoot(...command) {
  const [program, ...args] = process.getuid() === 0 ? command : ['sudo', ...command];
  return run(program, args, { seconds: 600 });
}
