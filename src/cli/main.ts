#!/usr/bin/env node
/** The bin `ballermann`. */

import { dispatch } from './dispatch.js';

const { stdin, stdout, stderr, env } = process;
for (const stream of [stdout, stderr]) stream.on('error', onOutputError);
// Not awaited: where a signal ends the process, it does so while the command still waits.
void dispatch(process.argv.slice(2), { stdin, stdout, stderr, env }).then(exit);

/** Whatever a configuration file has left open. What was written comes out first. */
function exit(code: number): void {
  process.exitCode = code;
  stdout.write('', () => stderr.write('', () => process.exit()));
}

/** Whoever read the output has gone: `ballermann status | head -1` is no error. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
}
