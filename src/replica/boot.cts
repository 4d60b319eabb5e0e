/**
 * What `--require` names in a replica: runs the preload, whose text comes by a descriptor, so that the package may be
 * gone. The primary puts a copy of this file where it stays (src/primary/supervision/boot.ts): it must be one that every
 * version can leave behind, so it needs nothing but what the environment says.
 */

import fs = require('node:fs');
import worker = require('node:worker_threads');

/** As src/channel/environment.ts has it, which this file cannot import. */
interface Env {
  readonly preload: { readonly fd: number; readonly file: string };
}

// Worker threads and node processes that a replica starts are given this file too; they are no replicas.
const env = worker.isMainThread ? process.env['BALLERMANN_REPLICA'] : undefined;
if (env !== undefined) {
  process.execArgv.splice(0, 2); // `--require` and this file: the script's own processes need neither
  const { fd, file } = (JSON.parse(env) as Env).preload;
  const text = read(fd);
  fs.closeSync(fd);
  (module as unknown as { _compile(text: string, file: string, format: string): void })._compile(
    text,
    file,
    'commonjs',
  );
}

/** By positions: all replicas share the descriptor's own. */
function read(fd: number): string {
  const bytes = Buffer.alloc(fs.fstatSync(fd).size);
  for (let done = 0; done < bytes.length; ) {
    const count = fs.readSync(fd, bytes, done, bytes.length - done, done);
    if (count === 0) throw new Error(`the preload ends after ${done} of ${bytes.length} bytes`);
    done += count;
  }
  return bytes.toString('utf8');
}
