/**
 * The duty of PID 1, which a primary is in a container without an init of its own: orphans become its children, and
 * stay zombies until somebody waits for them. Node waits for what it has started and for nothing else.
 *
 * Who a zombie belongs to cannot be asked. But libuv takes its own in the turn of the event loop that follows their
 * end. So one that is still there seconds and many turns later is nobody's. The one mistake that is left: a child
 * process that a worker thread has started, and whose thread does not turn for all that time.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { addon } from '../../memory/addon.js';

/** ms between a child's end and the first look, and between that and the second. */
const PATIENCE = 5_000;

/** Zombies of the last look: pid, and what tells it from a later process of that pid. */
let before = new Map<number, string>();
let isWaiting = false;
let isReaping = false;

/** From now on, where this process is PID 1; else nothing happens. */
export function reapOrphans(): void {
  if (process.pid !== 1 || process.platform !== 'linux' || isReaping) return;
  isReaping = true;
  process.on('SIGCHLD', lookLater);
  lookLater();
}

function lookLater(): void {
  if (isWaiting) return;
  isWaiting = true;
  setTimeout(() => setImmediate(look), PATIENCE).unref(); // libuv has had its turn before an immediate
}

function look(): void {
  isWaiting = false;
  const now = zombies();
  for (const [pid, birth] of now) if (before.get(pid) === birth && addon().reap(pid)) now.delete(pid);
  before = now;
  if (now.size > 0) lookLater();
}

/** The dead children of this process, and when each was born. */
function zombies(): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      // The name in parentheses may hold anything. After it: state, parent, and as the twentieth the time of birth.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (fields[0] === 'Z' && Number(fields[1]) === process.pid)
        found.set(Number(name), fields[19] as string);
    } catch {} // gone meanwhile
  }
  return found;
}
