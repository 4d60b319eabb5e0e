/** A primary in a terminal: what Ctrl-C and the end of the terminal do. Python makes the terminals: Node can't. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, until } from '../support/helpers.js';
import { Diary, Folder, gone, isAlive, type Line, type PrimaryOptions } from '../support/processes.js';

const test = suite('', undefined);
const linux = process.platform === 'linux' ? test : test.skip;

/** A terminal, and in it lifecycle/primary.mjs, which says in a file what happens. */
class Terminal implements AsyncDisposable {
  readonly #book: string;
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;
  #said = '';

  /** @param through a command that becomes the primary, or starts it. */
  constructor(folder: Folder, options: Partial<PrimaryOptions>, through: readonly string[] = []) {
    this.#book = folder.at('book');
    const { supervisor, ...more } = options;
    const env = { DIARY: new Diary(folder).file, HOOKS: '["slow"]', ...(supervisor?.['env'] as object) };
    const all: PrimaryOptions = {
      book: this.#book,
      ...more,
      supervisor: { replicas: 1, blockedAfter: 60_000, ...supervisor, env },
    };
    const primary = [fileURLToPath(fixture('lifecycle/primary.mjs')), JSON.stringify(all)];
    const command = [...(through.length > 0 ? through : [process.execPath]), ...primary];
    this.#process = spawn('python3', [fileURLToPath(fixture('terminal.py')), ...command], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process.stdin?.on('error', () => {}); // an order that comes too late
    this.#process.stdout?.setEncoding('utf8').on('data', (text) => {
      this.#said += text;
    });
    this.#ended = once(this.#process, 'close');
  }

  order(what: 'interrupt' | 'close'): void {
    this.#process.stdin?.write(`${what}\n`);
  }

  said(type: string): Line[] {
    if (!existsSync(this.#book)) return [];
    const lines = readFileSync(this.#book, 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Line).filter((line) => line.type === type);
  }

  /** The `count`th line of that type. */
  async line(type: string, count = 1): Promise<Line> {
    await until(
      () => this.said(type).length >= count,
      () => `'${type}' ${count} times: ${readFileSync(this.#book, 'utf8')}`,
      20_000,
    );
    return this.said(type)[count - 1] as Line;
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** How the command has ended; waits for that. */
  async end(): Promise<{ code: number | null; signal: number | null }> {
    await until(() => this.hasEnded, 'the end of what runs in the terminal', 20_000);
    await this.#ended;
    return JSON.parse(this.#said);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.hasEnded) this.#process.stdin?.end('kill\n');
    await this.#ended;
    const primary = this.said('ready')[0]?.['primary'] as number | undefined;
    if (primary !== undefined && isPrimary(primary)) process.kill(primary, 'SIGKILL'); // a failed test leaves it
  }
}

function isPrimary(pid: number): boolean {
  return isAlive(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('lifecycle/primary.mjs');
}

/** All that it has started is gone, and nobody was restarted. */
async function endedInOrder(terminal: Terminal, folder: Folder, pids: number[]): Promise<void> {
  await gone(pids, 5_000, 'the end of the terminal');
  assert.is(terminal.said('fork').length, pids.length);
  const lines = new Diary(folder).read();
  assert.is(lines.filter((line) => line === 'hook 0 ends').length, pids.length);
}

linux('the terminal is closed while replicas print: all end in order, and the exit is 0', async () => {
  using folder = new Folder();
  await using terminal = new Terminal(folder, {
    message: { op: 'chat' },
    chats: true,
    supervisor: { replicas: 2 },
  });
  const { pids } = (await terminal.line('ready')) as unknown as { pids: number[] };
  await new Diary(folder).has('ends chat', 2);
  terminal.order('close');
  assert.equal(await terminal.end(), { code: 0, signal: null });
  await endedInOrder(terminal, folder, pids);
  for (const down of terminal.said('down')) assert.equal([down['code'], down['signal']], [0, null]);
  assert.is(new Diary(folder).read().filter((line) => line === 'hook 0 begins: SIGHUP').length, 2);
});

linux('it is closed, and nobody is told: the primary and its replicas print on, and live', async () => {
  using folder = new Folder();
  // A session of its own has no terminal, but for its streams.
  await using terminal = new Terminal(folder, { message: { op: 'chat' }, chats: true }, [
    'setsid',
    '--wait',
    process.execPath,
  ]);
  const { pids, primary } = (await terminal.line('ready')) as unknown as { pids: number[]; primary: number };
  await new Diary(folder).has('ends chat');
  terminal.order('close');
  process.kill(primary, 'SIGHUP'); // what is started anew finds no terminal
  await terminal.line('reloaded');
  process.kill(primary, 'SIGUSR2');
  await terminal.line('state');
  assert.equal(
    terminal.said('down').map(({ pid, code, signal }) => ({ pid, code, signal })),
    pids.map((pid) => ({ pid, code: 0, signal: null })),
  );
  process.kill(primary, 'SIGTERM');
  assert.is((await terminal.line('exit'))['code'], 0);
  await until(() => !isAlive(primary), 'its end');
});

linux('nohup: the end of the terminal is none of the primary', async () => {
  using folder = new Folder();
  const command = `exec nohup ${process.execPath} "$0" "$1" > ${folder.at('output')} 2>&1`;
  await using terminal = new Terminal(folder, {}, ['sh', '-c', command]);
  const { primary } = (await terminal.line('ready')) as unknown as { primary: number };
  terminal.order('close');
  await terminal.line('reloaded');
  process.kill(primary, 'SIGTERM');
  assert.equal(await terminal.end(), { code: 0, signal: null });
});

linux('one Ctrl-C that comes twice is one, as below npm; the second ends the primary at once', async () => {
  using folder = new Folder();
  const diary = new Diary(folder);
  await using terminal = new Terminal(
    folder,
    { supervisor: { shutdown: 60_000, env: { HOOKS: '["hangs"]' } } },
    [process.execPath, fileURLToPath(fixture('forwarder.mjs'))],
  );
  const { pids, primary } = (await terminal.line('ready')) as unknown as { pids: number[]; primary: number };
  terminal.order('interrupt');
  await diary.has('hook 0 begins: SIGINT');
  process.kill(primary, 'SIGUSR2');
  await terminal.line('state');
  await until(() => {
    terminal.order('interrupt');
    return terminal.hasEnded;
  }, 'its end');
  assert.is((await terminal.end()).code, 130);
  await gone(pids, 1_000);
});

test.run();
