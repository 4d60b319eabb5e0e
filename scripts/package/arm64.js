/**
 * linux arm64, emulated by qemu: the binaries of the tarball load and work there, on the oldest Node and on the newest.
 */
import { cpSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { inParallel } from '../lib/in-parallel.js';
import { installNode, SUPPORTED } from '../lib/nodes.js';
import { npmCommand } from '../lib/npm.js';
import { cleanEnv, run, runScript } from './process.js';

/** Runs a program for arm64 with Debian's libraries for it. */
const QEMU = ['qemu-aarch64-static', '-L', '/usr/aarch64-linux-gnu'];
/** Everything takes about ten times as long. */
const TIMEOUT_MS = 240_000;
const SLOWNESS = /is not ready after 5000 ms|is blocked: its event loop/;

export async function checkArm64({ root, cache, temporary, tarball, check }) {
  const project = join(temporary, 'arm64');
  cpSync(join(root, 'test', 'package', 'esm'), project, { recursive: true });
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'sample', private: true }));
  await run(...npmCommand(['install', '--no-audit', '--no-fund', tarball]), {
    cwd: project,
    env: cleanEnv(),
  });
  const options = { platform: 'linux-arm64', runs: QEMU };
  // Each has 150 MB to get, and the binaries between these are built the same way.
  const nodes = [SUPPORTED.at(0), SUPPORTED.at(-1)].map((major) =>
    installNode(major, join(cache, `${major}-arm64`), options),
  );
  await inParallel(availableParallelism(), nodes, ({ version, path }) =>
    check(`linux arm64, emulated, on Node ${version}`, async () => {
      // Node starts replicas by the path of its own binary, which this machine can't run.
      const launcher = join(project, `node-${version}`);
      writeFileSync(launcher, `#!/bin/sh\nexec ${QEMU.join(' ')} '${path}' "$@"\n`, { mode: 0o755 });
      const preload = join(project, `launch-${version}.mjs`);
      writeFileSync(preload, `process.execPath = ${JSON.stringify(launcher)};\n`);
      const args = ['--import', preload, 'main.mjs', 'replica.mjs'];
      await runScript(launcher, args, { cwd: project, timeoutMs: TIMEOUT_MS, expected: SLOWNESS });
    }),
  );
}
