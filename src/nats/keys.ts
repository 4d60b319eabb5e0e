/** The buckets and subjects of who is there and of windows. */

/** Bucket of the members' heartbeats, by `memberKey`. */
export const MEMBERS = 'ballermann_members';
/** Bucket of the windows: at most one a pool, by `poolToken`. */
export const WINDOWS = 'ballermann_windows';

/** A pool's name as one token of a subject or key: what neither may have is written `=hh`, by the bytes of its UTF-8. */
export function poolToken(pool: string): string {
  return pool.replace(/[^A-Za-z0-9_-]+/gu, (text) =>
    [...Buffer.from(text)].map((byte) => `=${byte.toString(16).padStart(2, '0')}`).join(''),
  );
}

export function memberKey(pool: string, id: string): string {
  return `${poolToken(pool)}.${id}`;
}

/** Coordinators say here that a window is open, at each renewal, and that it has ended. */
export function windowSubject(pool: string): string {
  return `ballermann.window.${poolToken(pool)}`;
}

/** Members say here that nothing runs in them any more. */
export function acknowledgementSubject(pool: string): string {
  return `ballermann.acknowledge.${poolToken(pool)}`;
}
