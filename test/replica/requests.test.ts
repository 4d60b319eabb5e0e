/** What a replica asks of its primary: bounded where it asks too much, refused where its copy of the package is another one. */

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { type BallermannError, call, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MAX_WAITING } from '#src/channel/outbox.js';
import { gated, journal, noted, upPids } from '../support/gate.js';
import { rejects, tally, until } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

test('what a replica asks of its primary in one turn is bounded, and what is too much is refused at once', async () => {
  await using supervisor = await gated({ replicas: 1 });
  const [pid] = upPids(supervisor) as [number];
  const size = MAX_WAITING / 8;
  const flood = { op: 'flood', target: 1, size, calls: 10 }; // pid 1 is no replica: nothing comes back but that
  const { calls, cast } = await call<{ calls: string[]; cast: string }>(pid, flood);
  assert.equal([...tally(calls)].sort(), [
    ['ERR_NO_SUCH_REPLICA', 7], // the eighth has its own weight beside its text's
    ['ERR_OVERLOAD', 3],
  ]);
  assert.is(cast, 'ERR_OVERLOAD');
  assert.is(await call(pid, { op: 'echo', value: 'goes on' }), 'goes on');
  assert.equal(await call(pid, { ...flood, calls: 1 }), { calls: ['ERR_NO_SUCH_REPLICA'] });
});

test('a cast of a replica that is lost is said: by the replica where it cannot be written, by the event where it cannot be sent', async () => {
  const failures: BallermannError[] = [];
  const log = { info() {}, warn: (_: object, text: string) => void lines.push(text), error() {} };
  const lines: string[] = [];
  await using supervisor = await gated({ replicas: 1, log });
  supervisor.on('castFailed', (error) => failures.push(error));
  const [pid] = upPids(supervisor) as [number];
  await call(pid, { op: 'attempt', what: 'cast', args: [1, 'nobody'] });
  await until(() => failures.length > 0, "'castFailed'");
  const text = `the cast of replica ${pid} to pid 1 was not sent: no replica has pid 1 (any more)`;
  assert.equal(
    failures.map(({ code, message, pid: caller }) => [code, message, caller]),
    [['ERR_NO_SUCH_REPLICA', text, pid]],
  );
  assert.equal(lines, [`ballermann: gate.mjs: a cast was lost: ${text}`]);
  await call(pid, { op: 'castUnwritable', values: ['before', 'spoilt', 'behind'], unwritable: 'spoilt' });
  await noted(pid, 'behind');
  const told = `ballermann: a cast to pid ${pid} cannot be written and is lost: RangeError: no way`;
  assert.equal([...(await journal(pid))].sort(), [told, 'before', 'behind'].sort());
});

test('a script that imports a copy of the package with another protocol is told so', async () => {
  using folder = new Folder();
  cpSync(join(root, 'dist'), folder.at('dist'), { recursive: true });
  cpSync(join(root, 'package.json'), folder.at('package.json'));
  const protocol = folder.at('dist/channel/protocol.js');
  const text = readFileSync(protocol, 'utf8');
  const other = text.replace(/PROTOCOL_VERSION = (\d+)/, 'PROTOCOL_VERSION = $1000');
  assert.is.not(other, text);
  writeFileSync(protocol, other);
  const exec = folder.script(
    'replica.mjs',
    "import { handle } from './dist/replica.js';\nhandle(() => {});\n",
  );
  const error = await rejects(supervise({ exec, replicas: 1 }), 'ERR_START_FAILED');
  assert.match(inspect(error), /ERR_PROTOCOL/);
  assert.match(
    inspect(error),
    /the primary and this script have different versions .*\(protocol \d+ and \d+000\): install one/,
  );
});

test.run();
