/** Runs a command of which only a failure is worth a word. */
import { spawnSync } from 'node:child_process';

/** @throws an error with all that the command said, if it fails. */
export function runSilently(command, args, options) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    ...options,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status === 0) return;
  const why = error?.message ?? signal ?? `exit code ${status}`;
  throw new Error([`${[command, ...args].join(' ')}: ${why}`, stdout, stderr].join('\n').trimEnd());
}
