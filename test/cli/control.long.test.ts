/** `ballermann status` where the supervisor does not answer. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControlledPrimary, cli, RuntimeFolder } from '../support/control.js';
import { stopped } from '../support/failing.js';

test('a supervisor whose event loop stands still: status says so, with exit code 1', async () => {
  using _folder = new RuntimeFolder();
  await using primary = new ControlledPrimary({ name: 'shop', replicas: 1 });
  await primary.said();
  await stopped(primary.process.pid as number);
  const { code, err } = await cli('status');
  assert.is(code, 1);
  assert.match(err, /has not answered for \d+ s: its event loop does not turn/);
  primary.process.kill('SIGCONT');
  assert.is((await cli('status')).code, 0);
});

test.run();
