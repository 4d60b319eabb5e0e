/**
 * A cluster of replicas at work: balanced, killed, refreshed, held for maintenance, closed in order. Every answer
 * is checked. See --help.
 */

import cluster from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import { balance, supervise } from 'ballermann';
import { Board, count } from './board.js';
import { Load } from './load.js';
import { readOptions } from './options.js';
import { balanceScene, killScene, refreshScene, windowScene } from './scenes.js';
import { show } from './screen.js';

const CALLERS = 32;
const name = 'demo';

const { replicas, seconds, ratio } = readOptions();
const exec = new URL('./worker.js', import.meta.url);
const supervisor = await supervise({ exec, replicas, intensity: 2 * replicas });
const pool = await balance(supervisor, name, ratio);
const load = new Load(name);
const board = new Board(supervisor, pool, load);

const failures = [];
const summary = [];
const interruption = new AbortController();
const stage = {
  name,
  supervisor,
  pool,
  load,
  board,
  ratio,
  summary,
  signal: interruption.signal,
  expect: (isTrue, otherwise) => {
    if (!isTrue) failures.push(otherwise);
  },
};

// ballermann stops the replicas at Ctrl-C; what else there is to end is up to the program.
process.on('SIGINT', () => {
  interruption.abort();
  void load.stop();
});

const title = `${replicas} replicas, ${CALLERS} calls in flight, ratio ${ratio}`;
const stopShowing = show(board, title, seconds);
load.start(CALLERS);
const share = (part) => Math.max(0, seconds - 2) * 1000 * part;
try {
  await balanceScene(stage, share(0.3));
  await killScene(stage, share(0.2));
  await refreshScene(stage, share(0.2));
  await windowScene(stage, share(0.2));
  await sleep(share(0.1), undefined, { signal: stage.signal });
} catch (error) {
  if (!interruption.signal.aborted) failures.push(error.stack);
}
await end();
stopShowing();
report();

/** The last scene: an orderly end. The calls in flight are answered, the replicas exit by themselves. */
async function end() {
  board.say(interruption.signal.aborted ? 'interrupted: closing' : '5  close(), with calls in flight');
  const goodbyes = [];
  const exits = [];
  cluster.on('message', (_, { goodbye }) => {
    if (goodbye !== undefined) goodbyes.push(goodbye);
  });
  supervisor.on('down', ({ code }) => exits.push(code));
  const began = performance.now();
  await Promise.all([load.stop(), supervisor.close()]);
  const took = Math.round(performance.now() - began);
  const inOrder = exits.filter((code) => code === 0).length;
  const text = `${inOrder} of ${replicas} replicas exited with 0, ${goodbyes.length} had run onShutdown, ${took} ms`;
  board.say(`   ${text}`);
  if (interruption.signal.aborted) return;
  stage.expect(inOrder === replicas && goodbyes.length === replicas, `not in order: ${text}`);
  summary.push(['close', text]);
}

function report() {
  const { answered, wrong, died, lost } = load;
  const { redirected } = pool.stats();
  const isCut = interruption.signal.aborted;
  if (wrong > 0) failures.push(`${wrong} answers were wrong`);
  if (lost.length > 0 && !isCut) {
    failures.push(`${lost.length} calls were lost, the first by: ${lost[0].message}`);
  }
  const lines = [
    ['answered', `${count(answered)} calls, ${count(answered / board.seconds)} a second, wrong: ${wrong}`],
    ...summary,
    ['deaths', `${died.length} calls begun by a killed replica: rejected, then asked again`],
    ['', `${redirected} not begun: redirected to another`],
    ['lost', `${lost.length}${isCut && lost.length > 0 ? ', held by a window that was interrupted' : ''}`],
  ];
  const width = Math.max(...lines.map(([subject]) => subject.length));
  console.log(`\n${lines.map(([subject, text]) => `  ${subject.padEnd(width)}  ${text}`).join('\n')}\n`);
  for (const failure of failures) console.log(`  FAILED: ${failure}`);
  if (failures.length === 0)
    console.log(isCut ? '  Interrupted; all as it should be.' : '  All as it should be.');
  process.exitCode = failures.length > 0 ? 1 : isCut ? 130 : 0;
}
