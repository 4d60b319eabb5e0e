/** The whole terminal, drawn again and again until somebody leaves it; then it is as it was before. */

import { setTimeout as sleep } from 'node:timers/promises';
import { ignoreClosedOutput } from '../output.js';
import type { Terminal } from './command.js';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const REST_OF_LINE = '\x1b[K';
const REST_OF_SCREEN = '\x1b[J';

/** q and Q; Ctrl-C and Ctrl-D, which are keys in raw mode. */
const LEAVING = [0x71, 0x51, 0x03, 0x04];

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export class Screen implements Disposable {
  readonly #terminal: Terminal;
  readonly #left = new AbortController();
  #isGone = false;
  readonly #leave = (): void => {
    this.#left.abort();
  };
  readonly #onHangUp = (): void => {
    this.#isGone = true;
    ignoreClosedOutput();
    this.#leave();
  };
  readonly #onKey = (key: Buffer): void => {
    if (LEAVING.some((byte) => key.includes(byte))) this.#leave();
  };

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    const { stdin, stdout } = terminal;
    stdout.write(ENTER);
    if (stdin.isTTY) stdin.setRawMode(true).on('data', this.#onKey).resume();
    for (const signal of SIGNALS) process.on(signal, this.#leave);
    process.on('SIGHUP', this.#onHangUp);
    stdout.on('error', this.#leave);
  }

  /** Over what was there, so that nothing flickers. */
  draw(lines: readonly string[]): void {
    const text = lines.map((line) => line + REST_OF_LINE).join('\n');
    this.#terminal.stdout.write(HOME + text + REST_OF_SCREEN);
  }

  /** Resolves when somebody has left, with true, or after `ms`. */
  async left(ms: number): Promise<boolean> {
    const { signal } = this.#left;
    await sleep(ms, undefined, { signal }).catch(() => {}); // left
    return signal.aborted;
  }

  [Symbol.dispose](): void {
    const { stdin, stdout } = this.#terminal;
    for (const signal of SIGNALS) process.off(signal, this.#leave);
    process.off('SIGHUP', this.#onHangUp);
    stdout.off('error', this.#leave);
    stdin.off('data', this.#onKey).pause();
    if (this.#isGone) return;
    stdout.write(LEAVE);
    if (stdin.isTTY) stdin.setRawMode(false);
  }
}
