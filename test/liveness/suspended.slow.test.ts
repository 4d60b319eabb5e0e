/** A machine that is suspended: to its processes that is as if all were stopped at once, and went on together. */

import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { until } from '../support/helpers.js';
import { Diary, Folder, Primary, stateOf } from '../support/processes.js';

const test = suite('', undefined);
const linux = process.platform === 'linux' ? test : test.skip;

const SUSPENDED = 2_000; // ms, for far longer than the limits
const LIMIT = 400; // ms

linux(
  'all that runs is stopped for 2 s, as when the machine is suspended: nobody is killed or blocked',
  async () => {
    using folder = new Folder();
    await using primary = new Primary({
      ownGroup: true,
      supervisor: {
        env: { DIARY: new Diary(folder).file },
        replicas: 2,
        blockedAfter: LIMIT,
        hangTimeout: LIMIT,
      },
      calls: 4,
      message: { op: 'sleep', ms: 2 * SUSPENDED },
    });
    const pids = await primary.ready();
    await new Diary(folder).has('begins sleep', 4);
    await sleep(2 * LIMIT); // for it to have looked at them
    const all = [primary.pid, ...pids];
    process.kill(-primary.pid, 'SIGSTOP');
    await until(() => all.every((pid) => stateOf(pid) === 'T'), 'all to be stopped');
    await sleep(SUSPENDED); // time that passes is what this is about
    process.kill(-primary.pid, 'SIGCONT');
    await primary.line('answer', 4);
    await sleep(2 * LIMIT); // for it to have looked at them again
    for (const type of ['blocked', 'hung', 'down', 'failure']) assert.equal(primary.said(type), []);
    primary.process.kill('SIGTERM');
    assert.is((await primary.ended).code, 0);
  },
);

test.run();
