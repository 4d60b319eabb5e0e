/** The subjects by which calls travel. A pool's name is a token of them, as poolToken() of keys.ts writes it. */

import { poolToken } from './keys.js';

/** The queue group of a pool's members: each call goes to one of them. */
export const QUEUE = 'ballermann';

/** Calls that any member may take. */
export function callSubject(pool: string): string {
  return `ballermann.call.${poolToken(pool)}`;
}

/** Calls that are meant for one member. */
export function memberSubject(pool: string, id: string): string {
  return `${callSubject(pool)}.${id}`;
}

/** Reply subjects of calls whose callers have gone, one a message: to every member. */
export function cancelSubject(pool: string): string {
  return `ballermann.cancel.${poolToken(pool)}`;
}

/** Reply subjects of calls whose callers have waited long, a list of them: the member answers which of them it has. */
export function askSubject(pool: string, id: string): string {
  return `ballermann.ask.${poolToken(pool)}.${id}`;
}
