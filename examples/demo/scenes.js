/** What happens to the servers, one scene after another, and what must hold in each. */

import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyWithin, ping } from 'ballermann';
import { count } from './board.js';
import { now } from './clock.js';
import { writePages } from './pages.js';

const LONGEST_WINDOW = 2000; // ms; a held request is answered with 503 after `shutdown`, 5 s

/** Every replica has its part of the connections. */
export async function balanceScene({ supervisor, traffic, board, signal, expect, summary }, ms) {
  board.say('1  balance: connections are spread over the replicas');
  await sleep(ms, undefined, { signal });
  const shares = supervisor.children().map(({ pid }) => traffic.tally.byPid[pid]?.opened ?? 0);
  const total = shares.reduce((sum, share) => sum + share, 0);
  const text = `${count(total)} connections: ${count(Math.min(...shares))} to ${count(Math.max(...shares))} a replica`;
  board.say(`   ${text}`);
  expect(Math.min(...shares) > 0, `a replica had no connection: ${shares.join(' ')}`);
  summary.push(['balance', text]);
}

/** A kill costs what was running in that replica, and nothing else. */
export async function killScene({ supervisor, traffic, board, signal, expect, summary }, ms) {
  board.say('2  SIGKILL of one replica');
  const [{ pid }] = supervisor.children();
  const up = once(supervisor, 'up', { signal });
  const down = once(supervisor, 'down', { signal });
  for (const event of [up, down]) event.catch(() => {}); // awaited below, unless the scene ends before
  await traffic.killing(pid);
  const killed = now();
  process.kill(pid, 'SIGKILL');
  await down;
  await sleep(200, undefined, { signal }); // every client has seen it by then
  await traffic.killed();
  const [replacement] = await up;
  board.say(`   replaced by ${replacement.pid}, ready ${Math.round(now() - killed)} ms after the kill`);
  await sleep(ms, undefined, { signal });
  const { cutOff, byPid } = traffic.tally;
  const text = `cut off by the kill: ${cutOff}, asked again`;
  board.say(`   ${text}`);
  expect(byPid[replacement.pid]?.answered > 0, 'the replacement answered nothing');
  summary.push(['kill', text]);
}

/** Maintenance that would spoil each request that runs meanwhile: none does. */
export async function windowScene({ name, folder, traffic, board, signal, expect, summary }, ms) {
  board.say('3  applyWithin(name, rewrite all pages in place, (pid) => ping(pid))');
  const asked = now();
  await traffic.watch();
  let from;
  let to;
  await applyWithin(
    name,
    async () => {
      from = now();
      board.say(`   every replica idle after ${Math.round(from - asked)} ms; the pages are written`);
      await writePages(folder, 2, Math.min(ms / 2, LONGEST_WINDOW), signal);
      to = now();
    },
    (pid) => ping(pid),
  );
  const answers = await traffic.watched();
  const inside = answers.filter(({ began, ended }) => began <= to && ended >= from).length;
  const held = answers.filter((answer) => answer.asked < to && answer.began > to).length;
  const stale = answers.filter(({ began, edition }) => began > to && edition !== 2).length;
  const text = `${Math.round(to - from)} ms, ${held} requests held, ${inside} ran inside`;
  board.say(`   over: ${text}`);
  expect(inside === 0, `${inside} requests ran inside the window`);
  expect(held > 0, 'no request was held');
  expect(stale === 0, `${stale} answers after the window were of the old edition`);
  summary.push(['window', text]);
  await sleep(ms / 2, undefined, { signal });
}

/** New replicas first, then the old ones leave: the next release takes over. */
export async function reloadScene(
  { supervisor, folder, replicas, traffic, board, signal, expect, summary },
  ms,
) {
  board.say('4  reload({ env: release 2 })');
  const old = new Set(supervisor.children().map(({ pid }) => pid));
  const began = now();
  await supervisor.reload({
    env: { FOLDER: folder, RELEASE: '2' },
    maxUnavailable: Math.ceil(replicas / 8),
  });
  const reloaded = now();
  await traffic.watch();
  await sleep(ms, undefined, { signal });
  const answers = await traffic.watched();
  const late = answers.filter((answer) => answer.began > reloaded && answer.release !== '2').length;
  const left = supervisor.children().filter(({ pid }) => old.has(pid)).length;
  const text = `${old.size} replicas replaced in ${Math.round(reloaded - began)} ms, failed: ${traffic.tally.failed}`;
  board.say(`   ${text}`);
  expect(left === 0, `${left} old replicas are still there`);
  expect(answers.length > 0 && late === 0, `${late} answers after the reload were of the old release`);
  summary.push(['reload', text]);
}

/** A build that does not start changes nothing. */
export async function brokenScene({ supervisor, folder, board, signal, expect, summary }, ms) {
  board.say('5  reload({ exec: a build that does not start })');
  const exec = join(folder, 'broken.mjs');
  await writeFile(exec, 'process.exit(1);\n');
  const pids = () =>
    supervisor
      .children()
      .map(({ pid }) => pid)
      .join(' ');
  const before = pids();
  const refusal = await supervisor.reload({ exec }).catch((error) => error);
  signal.throwIfAborted();
  expect(refusal?.code === 'ERR_START_FAILED', `a broken build was not refused: ${refusal}`);
  expect(pids() === before, 'a broken build has changed the replicas');
  const text = `refused with ${refusal?.code}, the replicas go on`;
  board.say(`   ${text}`);
  summary.push(['broken', text]);
  await sleep(ms, undefined, { signal });
}
