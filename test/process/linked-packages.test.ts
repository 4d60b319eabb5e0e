/** Packages that are links, as pnpm makes them: what the primary and its replicas import is found where it really lies. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Folder } from '../support/processes.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

const REPLICA = `
import { createServer } from 'node:http';
import { handle } from 'ballermann/replica';

const atFirst = import.meta.resolve('linked');
createServer().listen(0);
handle(() => [atFirst, import.meta.resolve('linked/later')]);
`;

const MAIN = `
import { balance, supervise } from 'ballermann';

const supervisor = await supervise({ exec: './replica.mjs', replicas: 1, name: 'linked', control: true, log: false });
const pool = await balance(supervisor, 'pool');
console.log(JSON.stringify([import.meta.resolve('linked'), ...(await pool.call('where'))]));
await supervisor.close();
`;

test('packages that are links are found where they lie, though stdin, stdout and stderr are pipes', () => {
  using folder = new Folder();
  mkdirSync(folder.at('store/linked'), { recursive: true });
  mkdirSync(folder.at('node_modules'));
  folder.script('store/linked/package.json', '{ "exports": { ".": "./index.js", "./later": "./later.js" } }');
  folder.script('store/linked/index.js', '');
  folder.script('store/linked/later.js', '');
  symlinkSync('../store/linked', folder.at('node_modules/linked'));
  symlinkSync(root, folder.at('node_modules/ballermann'));
  folder.script('replica.mjs', REPLICA);
  const said = execFileSync(process.execPath, [folder.script('main.mjs', MAIN)], {
    cwd: folder.path,
    env: { ...process.env, XDG_RUNTIME_DIR: folder.path },
    timeout: 60_000,
    stdio: 'pipe',
  });
  const store = `${folder.path}/store/linked`;
  assert.equal(JSON.parse(said.toString()), [
    `file://${store}/index.js`,
    `file://${store}/index.js`,
    `file://${store}/later.js`,
  ]);
});

test.run();
