/** What the servers serve: files of one edition or the next, which can tell whether they are whole. */

import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const PAGES = 16;

const LINES = 64;

/**
 * Writes every page in place, as one does who knows that nobody is reading: first a half, after a pause the whole.
 * @param ms how long the pauses are together
 */
export async function writePages(folder, edition, ms = 0, signal = undefined) {
  for (let page = 0; page < PAGES; page++) {
    const file = join(folder, `${page}`);
    const text = render(page, edition);
    await writeFile(file, text.slice(0, text.length / 2));
    await sleep(ms / PAGES, undefined, { signal });
    await writeFile(file, text);
  }
}

/** The edition of the text; undefined where that is not all of the page and nothing else. */
export function editionOf(page, text) {
  const edition = Number(/^page \d+, edition (\d+)$/m.exec(text)?.[1]);
  return text === render(page, edition) ? edition : undefined;
}

const rendered = new Map();

function render(page, edition) {
  const key = `page ${page}, edition ${edition}`;
  const known = rendered.get(key);
  if (known !== undefined) return known;
  const lines = Array.from({ length: LINES }, (_, line) => `line ${line} of ${key}`);
  const body = [key, ...lines].join('\n');
  const text = `${body}\n${createHash('sha256').update(body).digest('hex')}\n`;
  rendered.set(key, text);
  return text;
}
