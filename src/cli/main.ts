#!/usr/bin/env node
/** The bin `ballermann`. */

import { dispatch } from './dispatch.js';

const { stdin, stdout, stderr, env } = process;
for (const stream of [stdout, stderr]) stream.on('error', onOutputError);
process.exitCode = await dispatch(process.argv.slice(2), { stdin, stdout, stderr, env });

/** Whoever read the output has gone: `ballermann status | head -1` is no error. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
}
