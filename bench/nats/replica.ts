/** The task of all: an echo; after `ms`, where it says so, in which nothing else is worked on. */

import { setTimeout as sleep } from 'node:timers/promises';
import { handle } from 'ballermann/replica';

let before: Promise<void> = Promise.resolve();

handle((message: { ms: number }) => {
  if (message.ms === 0) return message;
  before = before.then(() => sleep(message.ms));
  return before.then(() => message);
});
