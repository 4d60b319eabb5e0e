// Runs an express server by `npx ballermann run`, as somebody does who has never heard of the package before.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const [, , npx, ...npxArgs] = process.argv;
const runtime = { ...process.env, XDG_RUNTIME_DIR: process.cwd() };
const server = start('run', 'express/server.cjs', '-n', '2');
const [, port] = await said(server, /^port (\d+)$/m);
await said(server, /2 replicas are up/);
const answers = new Set();
for (let i = 0; i < 8; i++) {
  const response = await fetch(`http://127.0.0.1:${port}`, { headers: { connection: 'close' } });
  answers.add(await response.text());
}
assert.equal(answers.size, 2, [...answers].join(''));
const status = start('status', '--json');
assert.deepEqual(await once(status, 'close'), [0, null], status.said);
assert.equal(JSON.parse(status.said).replicas.length, 2);
const stop = start('stop');
assert.deepEqual(await once(stop, 'close'), [0, null], stop.said);
if (server.exitCode === null) await once(server, 'close');
assert.equal(server.exitCode, 0, server.said);
console.log('all answers right');

function start(...args) {
  const child = spawn(npx, [...npxArgs, 'ballermann', ...args], {
    env: runtime,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      child.said += text;
    });
  }
  return child;
}

async function said(child, pattern) {
  for (;;) {
    const match = pattern.exec(child.said);
    if (match !== null) return match;
    assert.equal(child.exitCode, null, child.said);
    await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data'), once(child, 'exit')]);
  }
}
