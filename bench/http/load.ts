/**
 * Puts load on a server: by wrk where it is installed, since a client in Node takes as long as the server, else (and
 * where requests come at a rate, which wrk cannot do) by a client of our own.
 */

import { type ChildProcess, execFile, fork, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { answerOf } from '../calls/flat-out.js';
import type { Load, Outcome } from './client.js';

export const hasWrk = spawnSync('wrk', ['--version']).error === undefined;

let client: ChildProcess | undefined;

/** @throws Error where an answer was wrong or missing. */
export async function putLoad(load: Load): Promise<Outcome> {
  const outcome = await (hasWrk && load.rate === undefined ? byWrk(load) : byClient(load));
  if (outcome.failed > 0) throw new Error(`${outcome.failed} requests failed`);
  return outcome;
}

export function endLoad(): void {
  client?.disconnect();
}

async function byClient(load: Load): Promise<Outcome> {
  client ??= fork(fileURLToPath(new URL('./client.js', import.meta.url)));
  client.send(load);
  return answerOf<Outcome>(client);
}

async function byWrk({ port, clients, keepAlive, ms }: Load): Promise<Outcome> {
  const header = ['--header', `Connection: ${keepAlive ? 'keep-alive' : 'close'}`];
  const size = ['--threads', '1', '--connections', `${clients}`, '--duration', `${Math.ceil(ms / 1000)}s`];
  const { stdout } = await promisify(execFile)('wrk', [
    ...size,
    ...header,
    '--latency',
    `http://127.0.0.1:${port}/`,
  ]);
  const found = (pattern: RegExp): string[] => pattern.exec(stdout)?.slice(1) ?? [];
  const [perSecond] = found(/Requests\/sec:\s+([\d.]+)/);
  const [p99, unit] = found(/99%\s+([\d.]+)(us|ms|s)/);
  const errors = found(/connect (\d+), read (\d+), write (\d+), timeout (\d+)/);
  const wrong = found(/Non-2xx or 3xx responses: (\d+)/);
  return {
    perSecond: Number(perSecond),
    p99: Number(p99) * { us: 1e-3, ms: 1, s: 1e3 }[unit as 'us' | 'ms' | 's'],
    failed: [...errors, ...wrong].reduce((sum, count) => sum + Number(count), 0),
  };
}
