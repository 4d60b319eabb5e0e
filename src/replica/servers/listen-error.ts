/** The error of a server that cannot listen, as a server of a process of its own has it. */

import { getSystemErrorMap } from 'node:util';
import type { Place } from './places.js';

/** Whatever address the server was bound to: which one of them was tried. */
type Tried = Place & { readonly tried?: string | null | undefined };

/** @param errno negative. */
export function listenError(errno: number, { address, tried, port, fd }: Tried): Error {
  const [code, text] = getSystemErrorMap().get(errno) ?? ['UNKNOWN', 'unknown error'];
  const host = address ?? tried ?? '::';
  const isPath = Number(port) < 0;
  const where =
    typeof fd === 'number'
      ? `(descriptor ${fd} of the primary)`
      : Number(port) > 0
        ? `${host}:${port}`
        : host;
  const error = Object.assign(new Error(`listen ${code}: ${text} ${where}`), {
    code,
    errno,
    syscall: 'listen',
  });
  if (typeof fd === 'number') return Object.assign(error, { fd });
  return Object.assign(error, { address: host }, (isPath || Number(port) > 0) && { port });
}
