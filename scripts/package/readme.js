/** The files that the first page of the README shows: complete, so that they run when they are pasted. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Each is a block whose first line names it, as on the pages of docs/. */
const FILES = ['server.mjs', 'start.mjs', 'worker.mjs', 'main.mjs'];

/** Puts them into a project, and drive.mjs, which runs them. */
export function writeReadmeFiles(root, project) {
  const text = readFileSync(join(root, 'README.md'), 'utf8');
  const blocks = text.matchAll(/^```js (\S+)\n([\s\S]*?)^```$/gm);
  const shown = [...blocks].map(([, name, code]) => ({ name, code }));
  const names = shown.map(({ name }) => name);
  if (names.join() !== FILES.join()) {
    throw new Error(
      `expected the README to show ${FILES.join(', ')}; it shows ${names.join(', ') || 'none'}`,
    );
  }
  for (const { name, code } of shown) writeFileSync(join(project, name), code);
  cpSync(join(root, 'test', 'package', 'readme', 'drive.mjs'), join(project, 'drive.mjs'));
}
