/** What happens to the pool, one scene after another, and what must hold in each. */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyWithin, call, ping, transaction } from 'ballermann';
import { count } from './board.js';

/** Hand-outs are even, to the last one. */
export async function balanceScene({ board, signal, expect, summary }, ms) {
  board.say('1  balance: every replica is handed the same number of calls');
  board.restartShares();
  await sleep(ms, undefined, { signal });
  const shares = [...board.shares().values()];
  const least = Math.min(...shares);
  const most = Math.max(...shares);
  const total = count(shares.reduce((sum, share) => sum + share, 0));
  const each = least === most ? `${count(least)} each` : `${count(least)} or ${count(most)} each`;
  board.say(`   ${total} calls over ${shares.length} replicas: ${each}`);
  expect(most - least <= 1, `hand-outs were not even: ${shares.join(' ')}`);
  summary.push(['balance', `${total} calls handed out, ${each}`]);
}

/** One replica is killed; above the ratio its replacement stays out of the pool. */
export async function killScene(stage, ms) {
  const { supervisor, pool, board, ratio, signal, expect, summary } = stage;
  board.say('2  SIGKILL of one replica');
  const up = once(supervisor, 'up', { signal });
  const refreshed = once(pool, 'refresh', { signal });
  refreshed.catch(() => {}); // at this ratio it may not come
  const { alive, original } = await kill(stage);
  const [replacement] = await up;
  if (alive / original < ratio) {
    await refreshed;
    board.say(`   ${alive}/${original} is below the ratio ${ratio}: replacement ${replacement.pid} is in`);
    expect(pool.pids().includes(replacement.pid), 'the replacement did not come in');
    return sleep(ms, undefined, { signal });
  }
  board.say(
    `   ${alive}/${original} is not below the ratio ${ratio}: replacement ${replacement.pid} stays out`,
  );
  await sleep(ms, undefined, { signal });
  expect(!pool.pids().includes(replacement.pid), 'the replacement came in above the ratio');
  expect(pool.pids().length === alive, `${pool.pids().length} replicas are in the pool, not ${alive}`);
  summary.push(['ratio', `at ${alive}/${original}, not below ${ratio}, the replacement stayed out`]);
}

/** Replicas are killed until the ratio is crossed; the refresh brings every replacement in. */
export async function refreshScene(stage, ms) {
  const { supervisor, pool, board, ratio, signal, expect, summary } = stage;
  const { original } = pool.stats();
  board.say('3  kills until the pool is below the ratio');
  const before = new Set(pool.pids());
  const refreshed = once(pool, 'refresh', { signal });
  let { alive } = pool.stats();
  while (alive / original >= ratio) {
    await sleep(ms / 2 / original, undefined, { signal });
    ({ alive } = await kill(stage));
    board.say(`   ${alive} of ${original} left in the pool`);
  }
  await refreshed;
  const all = supervisor.children().map(({ pid }) => pid);
  const fresh = pool.pids().filter((pid) => !before.has(pid)).length;
  board.say(`   below ${ratio}: refreshed, ${pool.pids().length} in the pool, ${fresh} of them new`);
  expect(
    all.every((pid) => pool.pids().includes(pid)) && all.length === original,
    `after the refresh the pool has ${pool.pids().length} of ${all.length} replicas`,
  );
  summary.push(['refresh', `at ${alive}/${original}, below ${ratio}, every replacement came in: ${fresh}`]);
  await sleep(ms / 2, undefined, { signal });
}

/** A maintenance window under load, with a transaction that is open when it is asked for. */
export async function windowScene({ name, pool, load, board, signal, expect, summary }, ms) {
  board.say('4  applyWithin(name, fn, (pid) => ping(pid)); a transaction is open');
  const answeredByEach = () => Promise.all(pool.pids().map((pid) => call(pid, { ask: 'answered' })));
  let transactionEnded = false;
  const open = transaction(name, async (pid) => {
    const { hash } = await call(pid, { piece: 0 });
    load.check(0, hash);
    await sleep(200, undefined, { signal });
    transactionEnded = true;
  });
  open.catch(() => {}); // looked at below

  const asked = performance.now();
  let closed;
  let held;
  await applyWithin(
    name,
    async () => {
      closed = performance.now();
      board.say(`   every replica idle after ${Math.round(closed - asked)} ms; maintenance begins`);
      expect(transactionEnded, 'the window did not wait for the transaction');
      const before = await answeredByEach();
      await sleep(ms / 2, undefined, { signal });
      const running = pool.stats().replicas.reduce((sum, { unfinished }) => sum + unfinished, 0);
      const after = await answeredByEach();
      ({ held } = pool.stats());
      const ran = after.reduce((sum, answered, i) => sum + answered - before[i], 0);
      board.say(`   inside: ${running + ran} calls running or answered, ${held} held`);
      expect(running + ran === 0, `${running + ran} calls ran inside the window`);
    },
    (pid) => ping(pid),
  );
  await open;
  const length = Math.round(performance.now() - asked);
  const ended = performance.now();
  while (load.askedBefore(ended) > 0 && performance.now() < ended + 5000) {
    await sleep(5, undefined, { signal });
  }
  expect(load.askedBefore(ended) === 0, 'held calls were not answered after the window');
  expect(load.lost.length === 0, `${load.lost.length} calls were lost`);
  board.say(`   over after ${length} ms; the ${held} held calls are answered, lost: ${load.lost.length}`);
  summary.push(['window', `${length} ms, 0 calls inside, ${held} held and answered after it`]);
  board.restartShares();
  await sleep(ms / 2, undefined, { signal });
}

/** Kills a replica that has work and tells what became of its calls; answers what was then left of the pool. */
async function kill({ supervisor, pool, load, board, signal }) {
  const { replicas, redirected, original } = pool.stats();
  const { pid } = replicas.reduce((a, b) => (b.unfinished > a.unfinished ? b : a));
  blockFor(1); // a timer fires just after calls have gone out: let the replica begin them
  process.kill(pid, 'SIGKILL');
  await once(supervisor, 'down', { signal });
  await sleep(100, undefined, { signal }); // its calls are settled when its channel has closed
  const begun = load.died.filter((error) => error.pid === pid).length;
  const moved = pool.stats().redirected - redirected;
  board.say(`   ${pid} killed: ${begun} calls begun, rejected; ${moved} not begun, redirected`);
  return { alive: replicas.length - 1, original };
}

function blockFor(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
