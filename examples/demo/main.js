/**
 * A cluster server under load: balanced, killed, held for maintenance, reloaded, closed in order. Every answer is
 * checked. See --help.
 */

import cluster from 'node:cluster';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { balance, supervise } from 'ballermann';
import { Board, count } from './board.js';
import { readOptions } from './options.js';
import { writePages } from './pages.js';
import { balanceScene, brokenScene, killScene, reloadScene, windowScene } from './scenes.js';
import { show } from './screen.js';
import { Traffic } from './traffic.js';

const name = 'demo';
const { replicas, clients, seconds } = readOptions();
const folder = mkdtempSync(join(tmpdir(), 'ballermann-demo-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
await writePages(folder, 1);

const exec = new URL('./server.js', import.meta.url);
const listening = once(cluster, 'listening');
const supervisor = await supervise({ exec, replicas, env: { FOLDER: folder, RELEASE: '1' } });
const pool = await balance(supervisor, name);
const [, { port }] = await listening;
const traffic = new Traffic(`http://127.0.0.1:${port}`, clients);
const board = new Board(supervisor, pool, traffic);

const failures = [];
const summary = [];
const interruption = new AbortController();
const { signal } = interruption;
const expect = (isTrue, otherwise) => {
  if (!isTrue) failures.push(otherwise);
};
const stage = { name, folder, replicas, supervisor, traffic, board, signal, expect, summary };

// ballermann stops the replicas at Ctrl-C; what else there is to end is up to the program.
process.on('SIGINT', () => interruption.abort());

const stopShowing = show(board, `${replicas} replicas, ${clients} clients`, seconds);
const share = (part) => Math.max(0, seconds - 2) * 1000 * part;
try {
  await sleep(500, undefined, { signal }); // the load gets going
  await balanceScene(stage, share(0.2));
  await killScene(stage, share(0.2));
  await windowScene(stage, share(0.25));
  await reloadScene(stage, share(0.15));
  await brokenScene(stage, share(0.1));
} catch (error) {
  if (!signal.aborted) failures.push(error.stack);
}
await end();
stopShowing();
report();

/** The last scene: an orderly end. */
async function end() {
  board.say(signal.aborted ? 'interrupted: closing' : '6  close()');
  const exits = [];
  supervisor.on('down', ({ code }) => exits.push(code));
  await traffic.stop();
  await supervisor.close();
  const inOrder = exits.filter((code) => code === 0).length;
  const text = `${inOrder} of ${replicas} replicas exited with 0`;
  board.say(`   ${text}`);
  if (signal.aborted) return;
  expect(inOrder === replicas, `not in order: ${text}`);
  summary.push(['close', text]);
}

function report() {
  const { answered, failed, failures: first } = traffic.tally;
  const lines = [['answered', `${count(answered / board.seconds)} a second, each checked`], ...summary];
  const width = Math.max(...lines.map(([subject]) => subject.length));
  console.log(`\n${lines.map(([subject, text]) => `  ${subject.padEnd(width)}  ${text}`).join('\n')}\n`);
  if (signal.aborted) {
    // The replicas close at once, the load hears of it a moment later: what fails in between is no finding.
    console.log(`  interrupted after ${answered + failed} requests`);
    process.exitCode = 130;
    return;
  }
  for (const failure of [...failures, ...first]) console.log(`  FAILED: ${failure}`);
  console.log(`  requests ${answered + failed}, failed ${failed}`);
  process.exitCode = failures.length > 0 || failed > 0 ? 1 : 0;
}
