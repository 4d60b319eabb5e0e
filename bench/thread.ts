/** The worker thread that times its own subjects. */

import { parentPort } from 'node:worker_threads';
import { here, type Order, obey } from './place.js';
import { commonSubjects } from './subjects.js';

const place = here('thread', commonSubjects());

// A rejection is an 'error' event of the Worker.
parentPort?.on('message', async (order: Order) => {
  parentPort?.postMessage(await obey(place, order));
});
