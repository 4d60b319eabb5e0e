/**
 * A name that one supervisor of a user has at a time. The lock of a file decides it: the system gives it back however its
 * process ends, so a socket whose lock can be had is stale, and two that start at once cannot both think so.
 */

import {
  chmodSync,
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  readFileSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { badRange } from '../arguments.js';
import { BallermannError } from '../errors.js';
import { addon } from '../memory/addon.js';
import { statsOfDescriptor, statsOfLink } from '../stats.js';
import { encodeName, MAX_PATH, makePrivate, ownFolder, socketFile } from './folders.js';

/** ms; well below the ten days after which systemd takes what nobody has touched out of the folder for temporary files. */
const TOUCH_EVERY = 24 * 60 * 60 * 1_000;

export class Claim {
  /** Where the socket is to be. Nothing is there when the claim is made. */
  readonly path: string;
  readonly #folder: string;
  readonly #lock: string;
  readonly #fd: number;
  readonly #timer: NodeJS.Timeout;

  /**
   * @throws RangeError for a name that no file can have. BallermannError: ERR_SUPERVISOR_EXISTS where another supervisor of
   * this user has the name, ERR_CONTROL_UNAVAILABLE where there is no place for a socket.
   */
  constructor(name: string) {
    this.#folder = ownFolder();
    this.path = pathOf(this.#folder, name);
    this.#lock = `${this.path}.lock`;
    try {
      makePrivate(this.#folder);
      this.#fd = takeLock(this.#lock, name);
    } catch (error) {
      throw error instanceof BallermannError ? error : unavailable(name, error);
    }
    try {
      removeStale(this.path);
    } catch (error) {
      this.#unlock();
      throw unavailable(name, error);
    }
    this.#timer = setInterval(() => this.#touch(), TOUCH_EVERY).unref();
  }

  /** The socket is there now. Nobody else could reach it before either: the folder is this user's alone. */
  protect(): void {
    chmodSync(this.path, 0o600);
  }

  /** The socket is gone. */
  release(): void {
    clearInterval(this.#timer);
    this.#unlock();
  }

  #unlock(): void {
    try {
      unlinkSync(this.#lock); // first: whoever opens it after that opens another
    } catch {
      // Somebody has tidied up.
    }
    closeSync(this.#fd);
  }

  #touch(): void {
    const now = new Date();
    for (const path of [this.#folder, this.path, this.#lock]) {
      try {
        utimesSync(path, now, now);
      } catch {
        // Somebody has tidied up.
      }
    }
  }
}

export function unavailable(name: string, cause: unknown): BallermannError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BallermannError(
    'ERR_CONTROL_UNAVAILABLE',
    `supervisor '${name}' cannot make its control socket: ${why}. Set XDG_RUNTIME_DIR to a folder of this user, or do without ` +
      '(control: false, --no-control)',
    { cause },
  );
}

/** @throws RangeError */
function pathOf(folder: string, name: string): string {
  if (name === '') throw badRange('options.name', 'at least one character with `control: true`', name);
  if (!isWellFormed(name)) throw badRange('options.name', 'well-formed Unicode with `control: true`', name);
  const path = socketFile(folder, name);
  const excess = Buffer.byteLength(path) - MAX_PATH;
  if (excess <= 0) return path;
  const longest = Buffer.byteLength(encodeName(name)) - excess;
  const place = `its control socket lies in ${folder}, and the system takes paths of up to ${MAX_PATH} bytes`;
  throw badRange(
    'options.name',
    longest > 0 ? `at most ${longest} bytes long (${place})` : `shorter than is possible (${place})`,
    name,
  );
}

function isWellFormed(name: string): boolean {
  try {
    return encodeName(name) !== '';
  } catch {
    return false; // half of a surrogate pair
  }
}

/** @returns the descriptor that holds the lock; no process that is started inherits it. */
function takeLock(path: string, name: string): number {
  for (;;) {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    try {
      if (!addon().lockFile(fd)) throw exists(name, readFileSync(fd, 'utf8'));
      if (isStillAt(path, fd)) {
        ftruncateSync(fd);
        writeSync(fd, String(process.pid));
        return fd;
      }
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd); // whoever had it removed the file and then let it go: the next one is another
  }
}

function isStillAt(path: string, fd: number): boolean {
  const { ino, dev } = statsOfDescriptor(fd);
  const there = statsOfLink(path);
  return there?.ino === ino && there.dev === dev;
}

function removeStale(path: string): void {
  const stats = statsOfLink(path);
  if (stats === undefined) return;
  if (!stats.isSocket()) throw new Error(`${path} is there, and is no socket: remove it`);
  unlinkSync(path);
}

/** @param pid what the lock's file says; nothing where that is just being written. */
function exists(name: string, pid: string): BallermannError {
  const where = /^\d+$/.test(pid) ? ` (pid ${pid})` : '';
  return new BallermannError(
    'ERR_SUPERVISOR_EXISTS',
    `a supervisor named ${JSON.stringify(name)} runs already${where}: stop it, or choose another name (--name)`,
  );
}
