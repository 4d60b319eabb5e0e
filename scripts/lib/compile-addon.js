/**
 * Compiles the addon in a folder of its own, so that what is being used stays as it is until the new one is there. Part
 * of the package: this is how it is compiled where no binary fits.
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * @param options.sources the folder of the C++ sources.
 * @param options.gyp binding.gyp.
 * @param options.api the package node-addon-api.
 * @param options.nodeGyp the script of node-gyp.
 * @param options.args more arguments of node-gyp's.
 * @param options.take is called with the path of the addon, which is gone afterwards.
 * @throws an error with all that the compiler said.
 */
export async function compileAddon({ sources, gyp, api, nodeGyp, args = [], env = {}, take }) {
  // Not below the package: make can't handle a path with a space in it.
  const folder = mkdtempSync(join(tmpdir(), 'ballermann-addon-'));
  const removeFolder = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', removeFolder);
  try {
    cpSync(sources, join(folder, 'native'), { recursive: true });
    cpSync(gyp, join(folder, 'binding.gyp'));
    cpSync(api, join(folder, 'node_modules', 'node-addon-api'), { recursive: true, dereference: true });
    await run(process.execPath, [nodeGyp, 'rebuild', ...args], {
      cwd: folder,
      env: { ...process.env, ...env },
    });
    return await take(join(folder, 'build', 'Release', 'ballermann.node'));
  } finally {
    process.off('exit', removeFolder);
    removeFolder();
  }
}

function run(command, args, options) {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${output}${[command, ...args].join(' ')}: ${signal ?? `exit code ${code}`}`));
    });
  });
}
