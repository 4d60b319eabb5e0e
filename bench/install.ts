/** Installs the packages of bench/peers where they are missing or were others. */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const home = new URL('../../bench/peers/', import.meta.url);
const stamp = new URL('node_modules/.installed', home);

/** @throws Error where npm fails, with its words. */
export function installPeers(): void {
  const wanted = readFileSync(new URL('package-lock.json', home), 'utf8');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  console.error('bench: installing the peers');
  const args = ['ci', '--ignore-scripts', '--include=dev', '--no-audit', '--no-fund'];
  const npm = process.env['npm_execpath'] ?? '';
  const [command, ...rest] = npm.endsWith('npm-cli.js') ? [process.execPath, npm, ...args] : ['npm', ...args];
  const { status, error, stdout, stderr } = spawnSync(command, rest, {
    cwd: fileURLToPath(home),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`npm ci in bench/peers failed: ${error?.message ?? stdout + stderr}`);
  writeFileSync(stamp, wanted);
}
