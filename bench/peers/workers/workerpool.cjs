/** A worker of workerpool. */

const workerpool = require('workerpool');
const task = require('./task.cjs');

workerpool.worker({ task });
