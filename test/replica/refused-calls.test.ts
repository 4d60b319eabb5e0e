/** The system refuses what a replica asks of it at its start: that is an error which says what, not a crash in C++. */

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, rejects } from '../support/helpers.js';
import { Folder } from '../support/processes.js';

const linux = process.platform === 'linux' ? test : test.skip;

linux('a refused prctl, or thread, fails the start with the reason', async () => {
  using folder = new Folder();
  const library = folder.at('refuse-calls.so');
  execFileSync('gcc', ['-shared', '-fPIC', '-o', library, fileURLToPath(fixture('refuse-calls.c')), '-ldl']);
  for (const [refused, reason] of [
    ['prctl', /prctl\(PR_SET_PDEATHSIG\): Operation not permitted/],
    ['thread', /a thread for hang reports: Resource temporarily unavailable/],
  ] as const) {
    const { message } = await rejects(
      supervise({
        exec: fixture('echo.mjs'),
        replicas: 1,
        hangTimeout: 10_000,
        hangReports: folder.path,
        env: { LD_PRELOAD: library, REFUSE: refused },
      }),
      'ERR_START_FAILED',
    );
    assert.match(message, reason);
  }
});

test.run();
