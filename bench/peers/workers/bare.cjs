/** A forked process that answers each message with one. */

const task = require('./task.cjs');

process.on('message', ({ id, message }) => {
  process.send({ id, reply: task(message) });
});
