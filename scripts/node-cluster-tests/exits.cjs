/**
 * Notes the exit code of each worker that a program forks through node:cluster and that ends with another than 0, a line
 * each, in the file that BALLERMANN_EXITS names: a test that passes in its primary may have failed in a worker.
 */
'use strict';

const childProcess = require('node:child_process');
const { appendFileSync } = require('node:fs');

const { fork } = childProcess;
childProcess.fork = function (file, args, options) {
  const child = fork.call(this, file, args, options);
  const isWorker = options?.env?.NODE_UNIQUE_ID !== undefined;
  if (isWorker)
    child.once(
      'exit',
      (code) => code && !child.killed && appendFileSync(process.env.BALLERMANN_EXITS, `${code}\n`),
    );
  return child;
};
