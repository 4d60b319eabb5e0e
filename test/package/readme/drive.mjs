// Runs what the first page of the README shows, as its reader does.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

const workers = start('main.mjs');
assert.deepEqual(await once(workers, 'close'), [0, null]);
assert.match(workers.said, /^1 \+ 2 = 3\nnext: \d+\nwindow: done\n$/);

const port = await freePort();
const server = start('start.mjs', { PORT: String(port) });
while (!server.said.includes('serving')) await once(server.stdout, 'data');
assert.equal(server.said, 'everything stands still\nserving http://localhost:8080\n');
const answers = new Set();
for (let i = 0; i < 100 && answers.size < 4; i++) {
  const response = await fetch(`http://127.0.0.1:${port}`, { headers: { connection: 'close' } });
  answers.add(await response.text());
}
assert.equal(answers.size, 4, [...answers].join('')); // a busy machine may have one of them wait for its turn
for (const answer of answers) assert.match(answer, /^hello from \d+\n$/);
server.kill('SIGINT');
assert.deepEqual(await once(server, 'close'), [0, null]);
console.log('all answers right');

function start(script, env = {}) {
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.said = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    child.said += text;
  });
  return child;
}

async function freePort() {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port: free } = holder.address();
  holder.close();
  await once(holder, 'close');
  return free;
}
