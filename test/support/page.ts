/**
 * The programs on a page of Markdown, as a reader would paste them. A fenced block whose first line names a file
 * (```js main.mjs) is that file, and its own first line says so to readers (// main.mjs). A ```console block runs them: its first line
 * is `$ node main.mjs`, the others are what it prints, in any order, '…' for whatever differs from run to run. A command that is
 * still running then is stopped by Ctrl-C.
 */

import { readFileSync } from 'node:fs';

export interface Program {
  /** Of the page, for messages: where its command stands. */
  readonly line: number;
  readonly files: ReadonlyMap<string, string>;
  readonly command: readonly string[];
  readonly prints: readonly string[];
}

/** A block of any list or quote is none: its lines do not begin with the fence. */
const BLOCK = /^```(\w+)(?: ([\w./-]+))?\n([\s\S]*?)^```$/gm;

/** Each command of the page, with all files that stand between it and the heading of second rank above it. */
export function programsOf(page: string): Program[] {
  const text = readFileSync(page, 'utf8');
  const programs: Program[] = [];
  let start = 0;
  for (const section of text.split(/^(?=## )/m)) {
    const files = new Map<string, string>();
    for (const block of section.matchAll(BLOCK)) {
      const [, language, name, body] = block as unknown as [string, string, string | undefined, string];
      // What stands behind the fence is not shown to readers, so the code says it, too.
      if (name !== undefined && /^[jt]s$/.test(language) && !body.startsWith(`// ${name}\n`))
        throw new Error(`${page}: a block of ${name} has to begin with the line: // ${name}`);
      if (name !== undefined) files.set(name, body);
      if (language !== 'console') continue;
      const [command, ...prints] = body.trimEnd().split('\n') as [string, ...string[]];
      const line = text.slice(0, start + block.index).split('\n').length;
      programs.push({ line, files: new Map(files), command: command.replace(/^\$ /, '').split(' '), prints });
    }
    start += section.length;
  }
  return programs;
}

/** What a printed line has to match. */
export function patternOf(line: string): RegExp {
  const parts = line
    .trim()
    .split('…')
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  return new RegExp(`^\\s*${parts.join('.*')}\\s*$`, 'm');
}
