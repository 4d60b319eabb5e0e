/** Where the control sockets of a user lie, and which file belongs to which name. */

import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** Bytes of a socket's path that the system takes, without the NUL at its end: sun_path. */
export const MAX_PATH = process.platform === 'linux' ? 107 : 103;

const SUFFIX = '.sock';

type Env = Readonly<Record<string, string | undefined>>;

/** The folder that a supervisor makes its socket in. */
export function ownFolder(env: Env = process.env): string {
  return folders(env)[0] as string;
}

/**
 * All folders in which a supervisor of this user may have its socket, its own first. A service often has no XDG_RUNTIME_DIR
 * where a shell has one, so whoever looks for it looks in more places than one.
 */
export function folders(env: Env = process.env): string[] {
  const ofEnvironment = runtimeFolder(env['XDG_RUNTIME_DIR']);
  const ofLogin = runtimeFolder(`/run/user/${user()}`);
  const ofTemporary = join(tmpdir(), `ballermann-control-${user()}`);
  const all = [ofEnvironment, ofTemporary, ofLogin].filter((folder) => folder !== undefined);
  return [...new Set(all)] as string[];
}

/** Undefined where there is none that this user may use: after `su` or `sudo` the variable may name another user's. */
function runtimeFolder(base: string | undefined): string | undefined {
  if (base === undefined || !isAbsolute(base)) return undefined;
  const stats = lstatSync(base, { throwIfNoEntry: false });
  return stats?.isDirectory() && stats.uid === user() ? join(base, 'ballermann') : undefined;
}

/** Whether it is a folder, and no link to one, that belongs to this user and that nobody else can enter. */
export function isPrivate(folder: string): boolean {
  const stats = lstatSync(folder, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.uid === user() && (stats.mode & 0o077) === 0;
}

/** @throws Error where others could have put something into the folder, or could reach a socket in it. */
export function makePrivate(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (!isPrivate(folder))
    throw new Error(`${folder} must be a folder that belongs to user ${user()} and has mode 0700`);
}

/** The name of a supervisor as part of a file's name: it has no slash, and is neither '.' nor '..' with what follows it. */
export function encodeName(name: string): string {
  return encodeURIComponent(name);
}

export function socketFile(folder: string, name: string): string {
  return join(folder, encodeName(name) + SUFFIX);
}

/** The name that a socket's file stands for; undefined where it stands for none. */
export function nameOf(file: string): string | undefined {
  if (!file.endsWith(SUFFIX)) return undefined;
  try {
    const name = decodeURIComponent(file.slice(0, -SUFFIX.length));
    return encodeName(name) + SUFFIX === file ? name : undefined;
  } catch {
    return undefined;
  }
}

/** The user that files which this process makes belong to. */
function user(): number {
  return process.geteuid?.() ?? -1;
}
