/** The system refuses what a replica asks of it at its start: that is an error which says what, not a crash in C++. */

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, rejects } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

const linux = process.platform === 'linux' ? test : test.skip;

linux('a refused prctl changes nothing; a refused thread fails the start with the reason', async () => {
  using folder = new Folder();
  const library = folder.at('refuse-calls.so');
  execFileSync('gcc', ['-shared', '-fPIC', '-o', library, fileURLToPath(fixture('refuse-calls.c')), '-ldl']);
  const refusing = (what: string) =>
    supervise({
      exec: fixture('echo.mjs'),
      replicas: 1,
      hangTimeout: 10_000,
      hangReports: folder.path,
      env: { LD_PRELOAD: library, REFUSE: what },
    });
  const supervisor = await refusing('prctl'); // the lifeline is left to it
  await supervisor.close();
  const reporter = await rejects(refusing('reporter'), 'ERR_START_FAILED');
  assert.match(reporter.message, /a thread for hang reports: Resource temporarily unavailable/);
  const lifeline = await rejects(refusing('lifeline'), 'ERR_START_FAILED');
  assert.match(lifeline.message, /uv_thread_create_ex: resource temporarily unavailable/);
});

test.run();
