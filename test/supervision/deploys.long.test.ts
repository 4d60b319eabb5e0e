/** Deploys: a primary that runs needs no file of its own package. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

interface Line {
  readonly type: string;
  readonly pid?: number;
  readonly pids?: number[];
  readonly verb?: string;
  readonly value?: unknown;
  readonly failure?: string;
}

/** A primary with an installed package, as deploys/main.mjs. */
class Deployed implements AsyncDisposable {
  readonly lines: Line[] = [];
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown[]>;

  constructor(ballermann: string, env: NodeJS.ProcessEnv = {}) {
    const args = [ballermann, fixture('deploys/replica.mjs')].map(String);
    this.#child = spawn(process.execPath, [fileURLToPath(fixture('deploys/main.mjs')), ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    this.#exit = once(this.#child, 'exit');
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.lines.push(JSON.parse(line)),
    );
  }

  async said(type: string, since = 0): Promise<Line> {
    const find = (): Line | undefined => this.lines.slice(since).find((line) => line.type === type);
    return (await until(find, () => `'${type}' after ${JSON.stringify(this.lines)}`, 60_000)) as Line;
  }

  async does<T>(verb: string, ...args: unknown[]): Promise<T> {
    const since = this.lines.length;
    this.#child.stdin?.write(`${JSON.stringify([verb, ...args])}\n`);
    const { value, failure } = await this.said('done', since);
    assert.is(failure, undefined, `${verb} ${args}: ${failure}`);
    return value as T;
  }

  async crash(pid: number): Promise<void> {
    const since = this.lines.length;
    process.kill(pid, 'SIGKILL');
    await this.said('down', since);
    await this.said('up', since);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    const [code] = await this.#exit;
    assert.is(code, 0);
  }
}

/** Puts the package where npm does, as new files. @returns its URL. */
function install(folder: Folder): string {
  const target = folder.at('node_modules/ballermann');
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  for (const name of ['package.json', 'dist', 'build/Release/ballermann.node', 'build/Debug/ballermann.node'])
    if (existsSync(join(root, name))) cpSync(join(root, name), join(target, name), { recursive: true });
  return pathToFileURL(join(target, 'dist/index.js')).href;
}

function remove(folder: Folder): void {
  rmSync(folder.at('node_modules'), { recursive: true });
}

test('a primary whose package is removed, and then installed anew, restarts and reloads its replicas', async () => {
  using folder = new Folder();
  await using primary = new Deployed(install(folder));
  const { pids } = await primary.said('ready');
  const [victim, old] = pids as [number, number];

  remove(folder);
  assert.is(await primary.does('ask', old, 'a thread'), 1, 'a replica from before starts threads');
  await primary.crash(victim);
  await primary.does('reload');
  const [first, second] = await primary.does<[number, number]>('pids');
  assert.is(await primary.does('ask', first, 'a thread'), 1, 'so do later ones');
  const forked = await primary.does('ask', first, 'a process');
  assert.equal(forked, { execArgv: [], ours: [] }, 'its processes inherit nothing of ours');

  install(folder);
  assert.ok([first, second].includes(await primary.does('thread')), 'a thread of the primary finds the pool');
  await primary.crash(first);
  await primary.does('reload');
});

test('a replica with another copy of the package, and its threads, find the pools of the primary', async () => {
  using folder = new Folder();
  await using primary = new Deployed(install(folder));
  const pids = (await primary.said('ready')).pids as [number, number];
  assert.ok(pids.includes(await primary.does('ask', pids[0], 'pid')));
  assert.ok(pids.includes(await primary.does('ask', pids[0], "a thread's pid")));
  assert.equal(await primary.does('ask', pids[0], 'an error'), [true, 'ERR_NO_SUCH_REPLICA', false, false]);
});

test('two copies of the package in one primary have a segment each, and pools of one name', async () => {
  using folder = new Folder();
  await using primary = new Deployed(install(folder));
  const pids = (await primary.said('ready')).pids as [number, number];
  assert.equal(await primary.does('other copy'), [true, true, true]);
  assert.ok(pids.includes(await primary.does('thread')));
});

test('a primary that cannot write temporary files, or not safely, takes the preload of its package', async () => {
  using folder = new Folder();
  const ballermann = install(folder);
  const shared = folder.at(`ballermann-${process.geteuid?.()}`);
  mkdirSync(shared);
  chmodSync(shared, 0o777); // anybody may put a file there
  for (const TMPDIR of [folder.at('nowhere/at/all'), folder.path]) {
    await using primary = new Deployed(ballermann, { TMPDIR });
    await primary.said('ready');
  }
  assert.equal(readdirSync(shared), []);
});

test.run();
