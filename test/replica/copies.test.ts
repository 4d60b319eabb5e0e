/** Several copies of the package in one cluster: each finds the one segment that its process has. */

import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { balance, call, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ownSegment } from '#src/primary/replicas/slots.js';
import { upPids } from '../support/gate.js';
import { rejects } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Installs a copy for what lies in the folder; @returns where it is. */
function install(folder: Folder): string {
  const place = folder.at('node_modules/ballermann');
  for (const part of ['dist', 'package.json'])
    cpSync(`${root}${part}`, `${place}/${part}`, { recursive: true });
  return place;
}

/** A replica that says which pids it gets by that copy, itself and in a thread. */
function script(folder: Folder): string {
  folder.script(
    'thread.mjs',
    `import { parentPort } from 'node:worker_threads';
     import { pid } from 'ballermann';
     parentPort.postMessage(pid('pool'));`,
  );
  return folder.script(
    'replica.mjs',
    `import { once } from 'node:events';
     import { Worker } from 'node:worker_threads';
     import { call, pid, transaction } from 'ballermann';
     import { handle } from 'ballermann/replica';
     handle(async (message) => {
       if (message === 'who') return process.pid;
       const thread = new Worker(new URL('./thread.mjs', import.meta.url));
       const [inThread] = await once(thread, 'message');
       return [pid('pool'), await transaction('pool', (pid) => pid), await call('pool', 'who'), inThread];
     });`,
  );
}

for (const build of ['built', 'not built']) {
  test(`another copy of the package in a replica finds its pools, in its threads too: ${build}`, async () => {
    using folder = new Folder();
    const copy = install(folder);
    if (build === 'built')
      cpSync(`${root}build/Release/ballermann.node`, `${copy}/build/Release/ballermann.node`);
    await using supervisor = await supervise({ exec: script(folder), replicas: 1 });
    await using _pool = await balance(supervisor, 'pool');
    const [pid] = upPids(supervisor) as [number];
    assert.equal(await call(pid, 'all'), [pid, pid, pid, pid]);
  });
}

test('a copy that knows another segment says so', async () => {
  using folder = new Folder();
  const file = `${install(folder)}/dist/memory/addon.js`;
  const text = readFileSync(file, 'utf8');
  const other = text.replace(/const VERSION = \d+;/, 'const VERSION = 99;');
  assert.is.not(other, text);
  writeFileSync(file, other);
  await using supervisor = await supervise({ exec: script(folder), replicas: 1 });
  await using _pool = await balance(supervisor, 'pool');
  const [pid] = upPids(supervisor) as [number];
  const { message } = await rejects(call(pid, 'all'), 'ERR_REMOTE');
  assert.match(message, /is of version \d+, this copy of ballermann needs 99: install one version only/);
});

test('two instances of the package over one addon give out no slot and no listener twice', async () => {
  using folder = new Folder();
  const copy = install(folder);
  symlinkSync(`${root}build`, `${copy}/build`);
  const other = (await import(`${pathToFileURL(copy)}/dist/index.js`)) as typeof import('ballermann');
  const exec = folder.script(
    'server.cjs',
    "require('node:http').createServer().listen(0); process.on('message', () => {});",
  );
  await using first = await supervise({ exec, replicas: 2 });
  await using second = await other.supervise({ exec, replicas: 2 });
  const { segment } = ownSegment();
  const { layout } = segment.addon;
  const word = (index: number): number => segment.words[index] as number;
  const slots = Array.from({ length: 5 }, (_, slot) => word(segment.slotWord(slot, layout.slotPid)));
  assert.equal(slots.filter((pid) => pid !== 0).sort(), [...upPids(first), ...upPids(second)].sort());
  const listeners = [0, 1, 2].filter((listener) => word(segment.listenerWord(listener)) !== 0);
  assert.is(listeners.length, 2);
});

test.run();
