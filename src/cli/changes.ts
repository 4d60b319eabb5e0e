/**
 * Notices changes of the source files of a program. Each folder is watched on its own: so dependencies and dot folders cost
 * nothing, and it works the same on each system.
 */

import { type FSWatcher, readdirSync, realpathSync, statSync, watch } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { statsOfPath } from '../stats.js';

/** Files that servers write themselves (logs, databases, uploads) have other names. */
const SOURCE = /\.(?:[cm]?[jt]s|[jt]sx|json|node|wasm)$/;

/** ms. An editor or a compiler writes several files, and each more than once. */
const QUIET = 100;

export class Changes implements Disposable {
  readonly #roots: readonly string[];
  readonly #folders = new Map<string, FSWatcher>();
  /** When each source was last changed: an event tells of reads too, and of folders. */
  readonly #seen = new Map<string, number>();
  readonly #changed = new Set<string>();
  readonly #onChange: (files: readonly string[]) => void;
  readonly #onError: (error: Error) => void;
  #timer: NodeJS.Timeout | undefined;
  #hasFailed = false;

  /**
   * @param onChange gets the names of the files, from their root, when nothing has changed any more for a moment.
   * @param onError gets the first thing that keeps a folder from being watched, such as the system's limit.
   */
  constructor(
    roots: readonly string[],
    onChange: (files: readonly string[]) => void,
    onError: (error: Error) => void,
  ) {
    this.#roots = roots.map((root) => realpathSync(root));
    this.#onChange = onChange;
    this.#onError = onError;
    for (const root of this.#roots) this.#add(root);
    this.#changed.clear();
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#folders.values()) watcher.close();
    this.#folders.clear();
  }

  /** Watches a folder and those in it, and takes in what is there. */
  #add(folder: string): void {
    if (this.#folders.has(folder)) return;
    try {
      const watcher = watch(folder, (_event, file) => this.#look(folder, file));
      watcher.on('error', () => this.#remove(folder)); // it has gone
      this.#folders.set(folder, watcher);
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        if (entry.isDirectory()) this.#enter(join(folder, entry.name));
        else this.#note(join(folder, entry.name));
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      this.#remove(folder);
      if (code === 'ENOENT' || code === 'ENOTDIR' || this.#hasFailed) return; // it has gone already
      this.#hasFailed = true;
      this.#onError(error as Error);
    }
  }

  #enter(folder: string): void {
    const name = basename(folder);
    if (name !== 'node_modules' && !name.startsWith('.')) this.#add(folder);
  }

  #remove(folder: string): void {
    this.#folders.get(folder)?.close();
    this.#folders.delete(folder);
  }

  #look(folder: string, file: string | null): void {
    if (file === null) return;
    const path = join(folder, file);
    const stats = statsOfPath(path);
    if (stats?.isDirectory()) return this.#enter(path);
    if (stats === undefined && this.#folders.has(path)) return this.#remove(path);
    this.#note(path);
  }

  /** A file that has gone is a change as well: whoever imports it fails now. */
  #note(path: string): void {
    if (!SOURCE.test(path)) return;
    const at = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (this.#seen.get(path) === at) return;
    this.#seen.set(path, at);
    this.#changed.add(path);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), QUIET);
  }

  #tell(): void {
    const files = [...this.#changed].map((path) => this.#fromRoot(path));
    this.#changed.clear();
    this.#onChange(files);
  }

  #fromRoot(path: string): string {
    const names = this.#roots.map((root) => relative(root, path)).filter((name) => !name.startsWith('..'));
    return names[0] ?? path;
  }
}
