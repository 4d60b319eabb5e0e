/**
 * What a replica needs of this package before its script runs. All of it is held open from the first start on, so that a
 * primary that runs needs no file of its package: releases are pruned and reinstalled under it.
 */

import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReplicaEnv } from '../../channel/environment.js';
import { addonPath, keepAddon } from '../../memory/addon.js';
import { packageFile } from '../../package-files.js';

/** ms; well below the ten days after which systemd takes what nobody has read out of the folder for temporary files. */
const KEEP_EVERY = 24 * 60 * 60 * 1_000;

/** The first descriptor of these in a replica: before them are Node's channel (3) and what src/primary/supervision/fork.ts gives it. */
const FIRST_FD = 9;

export interface Boot {
  /** The file for `--require`. */
  readonly require: string;
  /** Descriptors that the replica inherits, from `FIRST_FD` on. (Node sees to it that no child of its own does.) */
  readonly descriptors: readonly number[];
  readonly env: Pick<ReplicaEnv, 'preload' | 'addon'>;
}

/**
 * @param execArgv of the replica.
 * @throws BallermannError ERR_NATIVE_UNAVAILABLE, and what the system says where it cannot open a file.
 */
export function boot(execArgv: readonly string[]): Boot {
  held ??= hold();
  const { preload, addon, starter, env } = held;
  const descriptors = addon === undefined ? [preload] : [preload, addon];
  return { require: mayReadCopies(execArgv) ? keep(starter) : starter.file, descriptors, env };
}

interface Held {
  readonly preload: number;
  readonly addon: number | undefined;
  readonly starter: Starter;
  readonly env: Boot['env'];
}

/** src/replica/boot.cts, compiled: as the package has it, and the copy that stays. */
interface Starter {
  readonly file: string;
  readonly text: string;
  /** Undefined where there can be none. */
  copy: string | undefined;
}

let held: Held | undefined;

function hold(): Held {
  const file = packageFile('dist/preload.cjs');
  const preload = openSync(file, 'r');
  const addon = holdAddon();
  return {
    preload,
    addon,
    starter: starterAt(packageFile('dist/replica/boot.cjs')),
    env: {
      preload: { fd: FIRST_FD, file },
      addon: addon === undefined ? addonPath() : inherited(FIRST_FD + 1),
    },
  };
}

/** The addon's descriptor, by which Linux loads it even where its file is gone. */
function holdAddon(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const fd = openSync(addonPath(), 'r');
  keepAddon(inherited(fd));
  return fd;
}

function inherited(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** Under Node's permission model a replica reads what its options name: the package, but hardly our copy. */
function mayReadCopies(execArgv: readonly string[]): boolean {
  const isConfined = (option: string): boolean => /^--(experimental-)?permission$/.test(option);
  return process.permission === undefined && !execArgv.some(isConfined);
}

function starterAt(file: string): Starter {
  const starter: Starter = { file, text: readFileSync(file, 'utf8'), copy: undefined };
  setInterval(() => keep(starter), KEEP_EVERY).unref();
  return starter;
}

/**
 * The file for `--require`: Node opens it by its name, in replicas now and in the worker threads that they start later. So
 * it is a copy in the folder for temporary files, one for all primaries of this user, which nobody removes; or, where it
 * cannot be written there, the package's own.
 */
function keep(starter: Starter): string {
  try {
    const now = new Date();
    if (starter.copy !== undefined && existsSync(starter.copy)) utimesSync(starter.copy, now, now);
    else starter.copy = copyOf(starter.text);
    return starter.copy;
  } catch {
    starter.copy = undefined;
    return starter.file;
  }
}

/** @returns the path of a file with that text. @throws where there can be none that only this user can write. */
function copyOf(text: string): string {
  const folder = join(realpathSync(tmpdir()), `ballermann-${process.geteuid?.()}`);
  mkdirSync(folder, { recursive: true });
  checkOwn(folder, (stats) => stats.isDirectory());
  chmodSync(folder, 0o755); // a replica that drops its privileges starts worker threads too
  const file = join(folder, `boot-${createHash('sha256').update(text).digest('hex').slice(0, 16)}.cjs`);
  if (isSame(file, text)) return file;
  const unfinished = `${file}.${process.pid}`;
  rmSync(unfinished, { force: true });
  writeFileSync(unfinished, text, { flag: 'wx' });
  chmodSync(unfinished, 0o644);
  renameSync(unfinished, file);
  return file;
}

function isSame(file: string, text: string): boolean {
  if (!existsSync(file)) return false;
  checkOwn(file, (stats) => stats.isFile());
  return readFileSync(file, 'utf8') === text;
}

/** Anybody can make files in the folder for temporary files, with names that they guess. */
function checkOwn(path: string, fits: (stats: ReturnType<typeof lstatSync> & object) => boolean): void {
  const stats = lstatSync(path);
  const isOwn = fits(stats) && stats.uid === process.geteuid?.() && (stats.mode & 0o022) === 0;
  if (!isOwn) throw new Error(`${path} is not of this user alone`);
}
