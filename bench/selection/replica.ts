/**
 * A replica that serves one message at a time, as one with a single connection to a database does. It waits instead of
 * computing: four replicas that computed would share the cores of the machine, and what is asked here is who gets a
 * call, not how the system shares out its cores. A timer is late by up to a millisecond or so, so the time is measured.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { handle } from 'ballermann/replica';
import type { Served, Setting, Task } from './messages.js';

let wait = 0;
let turn = 0;
let last: Promise<unknown> = Promise.resolve();

handle((message: Setting | Task) => {
  if ('n' in message) return inTurn(message);
  wait = message.wait;
  turn = 0;
  return undefined;
});

/** Begins when the one before is done, whoever sent it. */
function inTurn({ n }: Task): Promise<Served> {
  const served = last.then(async () => {
    const begin = performance.now();
    await sleep(wait);
    return { n, pid: process.pid, turn: turn++, took: performance.now() - begin };
  });
  last = served;
  return served;
}
