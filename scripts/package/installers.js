/** The package installers that people use, at their defaults; and how a project of each runs a script. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { npmCommand } from '../lib/npm.js';
import { runSilently } from '../lib/run-silently.js';

/**
 * `from` is what npm installs, `script` the installer in it, `since` the oldest Node that it runs on where that is not the oldest
 * that we support. `add` is what a user types to install a package, `node` what he puts before a script.
 */
export const installers = [
  { name: 'npm 11', from: 'npm@11', script: 'bin/npm-cli.js', add: ['install'], node: ['node'] },
  { name: 'npm 12', from: 'npm@12', since: 22, script: 'bin/npm-cli.js', add: ['install'], node: ['node'] },
  { name: 'pnpm', from: 'pnpm@latest', script: 'bin/pnpm.mjs', add: ['add'], node: ['node'] },
  { name: 'yarn 1', from: 'yarn@1', script: 'bin/yarn.js', add: ['add'], node: ['node'] },
  // Without node_modules (Plug'n'Play): only Yarn knows how to run a script.
  {
    name: 'yarn 4',
    from: '@yarnpkg/cli-dist@4',
    script: 'bin/yarn.js',
    add: ['add'],
    node: ['yarn', 'node'],
  },
];

/** @returns the installer with its path and version, once it is in `cache`. */
export function getInstaller(installer, cache) {
  const key = installer.name.replace(' ', '-');
  const folder = join(cache, key);
  const home = join(folder, 'node_modules', key);
  if (!existsSync(join(folder, 'whole'))) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{}');
    const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--force'];
    runSilently(...npmCommand(['install', '--prefix', folder, ...options, `${key}@npm:${installer.from}`]), {
      cwd: folder,
    });
    writeFileSync(join(folder, 'whole'), '');
  }
  const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  return { ...installer, version, path: join(home, installer.script) };
}
