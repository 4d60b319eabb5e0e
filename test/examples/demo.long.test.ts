/** The demo (npm start) as it runs without a terminal. It checks itself; here, that it does, and leaves nothing behind. */

import { readdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Example } from '../support/example.js';
import { Folder } from '../support/processes.js';

/** Temporary files go to the folder, so that it shows what is left of them. */
function demo(folder: Folder, ...args: string[]): Example {
  return new Example('demo/main.js', { TMPDIR: folder.path }, args);
}

/** The file that replicas start with is for all primaries of this user, and stays. */
function isKept(name: string): boolean {
  return name === `ballermann-${process.geteuid?.()}`;
}

test('ends by itself, and not one request has failed', async () => {
  using folder = new Folder();
  await using example = demo(folder, '--seconds', '6');
  await example.endsByItself();
  assert.match(example.said, /\n {2}window .* [1-9]\d* requests held, 0 ran inside\n/);
  assert.match(example.said, /\n {2}reload .* replaced in \d+ ms, failed: 0\n/);
  assert.match(example.said, /\n {2}requests [1-9]\d*, failed 0$/);
  assert.equal(
    readdirSync(folder.path).filter((name) => !isKept(name)),
    [],
  );
});

test('SIGINT in its window: it ends with 130', async () => {
  using folder = new Folder();
  await using example = demo(folder, '--seconds', '6');
  await example.says(/every replica idle/);
  example.signal('SIGINT');
  await example.endsByItself([], 130);
  assert.match(example.said, /\n {2}interrupted after [1-9]\d* requests$/);
  assert.equal(
    readdirSync(folder.path).filter((name) => !isKept(name)),
    [],
  );
});

test('SIGTERM: it ends with 0', async () => {
  using folder = new Folder();
  await using example = demo(folder);
  await example.says(/1 {2}balance/);
  await example.ends();
  assert.equal(
    readdirSync(folder.path).filter((name) => !isKept(name)),
    [],
  );
});

test('a knob that cannot be used: it says which, and ends with 2', async () => {
  using folder = new Folder();
  await using example = demo(folder, '--clients', '1');
  await example.endsByItself([], 2);
  assert.is(example.said, '');
});

test.run();
