/** What the replicas of the pictures do: requests that cost some time of the CPU, and calls that cost less. */

import { createServer } from 'node:http';
import { handle } from 'ballermann/replica';

handle(() => work(0.2));
createServer((_, response) => response.end(String(work(0.8)))).listen(0, '127.0.0.1');

function work(ms) {
  const end = performance.now() + ms;
  while (performance.now() < end);
  return process.pid;
}
