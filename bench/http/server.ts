/** The server that is measured: the same script for every contender. Counts its connections; may stand still now and then. */

import cluster from 'node:cluster';
import { createServer } from 'node:http';

let connections = 0;

createServer((_request, response) => response.end('hello'))
  .on('connection', () => connections++)
  .listen(0, '127.0.0.1');

process.on('message', () => {
  process.send?.(connections);
  connections = 0;
});

if (process.env['BLOCKS'] === '1' && cluster.worker?.id === 1) {
  setInterval(() => {
    const end = performance.now() + 500;
    while (performance.now() < end);
  }, 1000);
}
