/** The Nodes that are supported, and how to get each: from npm, headers included. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { npmCommand } from './npm.js';
import { runSilently } from './run-silently.js';

/** Major versions. `engines` of package.json says from which minor on. */
export const SUPPORTED = ['20', '22', '24', '26'];

/**
 * Installs a Node into `folder`, unless a whole one is there.
 *
 * @param version a major, of which the newest is taken, or one to the digit.
 * @param platform as in the names of npm's packages for Node: linux-x64.
 * @param runs the command that runs it, and its first arguments, where that is not the Node itself.
 */
export function installNode(version, folder, { platform = ownPlatform, runs = [] } = {}) {
  const name = `node-${platform}`;
  const found = installedNode(folder, name, runs);
  if (found !== undefined) return found;
  rmSync(join(folder, 'node_modules'), { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const options = [
    '--no-dry-run',
    '--no-save',
    '--no-package-lock',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
  ];
  // The package names the processor that it is for, which may be emulated here.
  const foreign = platform === ownPlatform ? [] : ['--force'];
  const args = ['install', '--prefix', folder, ...options, ...foreign, `${name}@${version}`];
  runSilently(...npmCommand(args), { cwd: folder });
  const installed = installedNode(folder, name, runs);
  if (installed === undefined) throw new Error(`${name}@${version} holds no Node that runs here`);
  return installed;
}

const ownPlatform = `${process.platform}-${process.arch}`;

/** Undefined where there is none, or one that was not written to its end. */
function installedNode(folder, name, runs) {
  const prefix = join(folder, 'node_modules', name);
  const path = join(prefix, 'bin', 'node');
  if (!existsSync(path) || !existsSync(join(prefix, 'include', 'node', 'node.h'))) return undefined;
  const manifest = JSON.parse(readFileSync(join(prefix, 'package.json'), 'utf8'));
  const version = manifest.version.replace(/^v/, ''); // some of the packages have it
  const [command, ...args] = [...runs, path, '--version'];
  const { stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return stdout?.trim() === `v${version}` ? { version, prefix, path } : undefined;
}
