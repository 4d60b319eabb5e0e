/** A worker of jest-worker. */

const task = require('./task.cjs');

module.exports = { task };
