/** A forked process that does the CPU task again and again, without a message each: what one process can do at all. */

const { performance } = require('node:perf_hooks');
const { spin } = require('./task.cjs');

process.on('message', ({ turns, sum, ms }) => {
  const begin = performance.now();
  let now = begin;
  let fastest = Infinity;
  let tasks = 0;
  while (now - begin < ms) {
    const result = spin(turns);
    if (sum !== undefined && result !== sum) throw new Error(`the task gave ${result}, not ${sum}`);
    const before = now;
    now = performance.now();
    fastest = Math.min(fastest, now - before);
    tasks++;
  }
  process.send({ tasks, ms: now - begin, fastest, sum: spin(turns) });
});
