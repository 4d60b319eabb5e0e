/** Where the addon's file may lie in this package, and what to do where there is none that fits. */

import { readFileSync } from 'node:fs';
import { packageFile } from '../package-files.js';

/** What a binary has to fit. */
export interface Target {
  readonly platform: string;
  readonly arch: string;
  /** Of Linux: whose C library. */
  readonly libc: 'glibc' | 'musl' | undefined;
  /** As `process.version`. */
  readonly node: string;
  /** NODE_MODULE_VERSION. */
  readonly abi: string;
}

/** In the order in which they are tried: what was built on this machine, then what the package brings. */
export function addonFiles(target: Target): string[] {
  return ['build/Release/ballermann.node', 'build/Debug/ballermann.node', prebuilt(target)];
}

/** As scripts/prebuild.js names it. */
function prebuilt({ platform, arch, libc, abi }: Target): string {
  return `prebuilds/${[platform, arch, libc, abi].filter((part) => part !== undefined).join('-')}.node`;
}

export function thisTarget(): Target {
  const { platform, arch, version, versions } = process;
  return { platform, arch, libc: libcOf(platform), node: version, abi: versions.modules };
}

/** By the files that this process has mapped: musl is its own loader, /lib/ld-musl-x86_64.so.1. */
function libcOf(platform: NodeJS.Platform): Target['libc'] {
  if (platform !== 'linux') return undefined;
  try {
    return readFileSync('/proc/self/maps', 'utf8').includes('/ld-musl-') ? 'musl' : 'glibc';
  } catch {
    return 'glibc'; // the permission model forbids it, say: if the guess is wrong the binary does not load
  }
}

/** Three lines: what is missing, what to install, what to run. */
export function advice(target: Target): string {
  const { platform, arch, libc, node, abi } = target;
  const system = libc === undefined ? `${platform}-${arch}` : `${platform}-${arch} (${libc})`;
  return [
    `ballermann has no addon that loads in Node ${node} (ABI ${abi}) on ${system}`,
    `To build one, install a compiler: ${compilerFor(target)}`,
    `Then run: node ${quoted(packageFile('scripts/build-addon.js'))}`,
  ].join('\n');
}

function compilerFor({ platform, libc }: Target): string {
  if (platform === 'darwin') return 'xcode-select --install';
  return libc === 'musl' ? 'apk add python3 make g++' : 'apt-get install python3 make g++';
}

/** For a shell. */
function quoted(path: string): string {
  return /^[\w./@+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
