/** The example of a fleet, as a user runs it: three machines on a real nats-server, all restarted under load. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isMissing, NatsServer } from '../support/nats.js';

const test = suite('examples/nats');
const main = fileURLToPath(new URL('../../../examples/nats/main.js', import.meta.url));

(isMissing ? test.skip : test)(
  'shares calls, opens a window, and restarts every machine without a loss',
  async () => {
    await using server = await NatsServer.start();
    const env = { ...process.env, NATS_URL: server.url };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [main], { env, timeout: 60_000 });
    const shares = [...stdout.matchAll(/^machine \d+ computed (\d+)$/gm)].map(([, share]) => Number(share));
    assert.is(shares.length, 3, stdout);
    assert.is(
      shares.reduce((sum, share) => sum + share, 0),
      300,
    );
    assert.match(stdout, /^nothing runs now on 3 machines$/m);
    assert.match(stdout, /^three restarts, no call lost$/m);
    assert.is(stderr, '');
  },
);

test.run();
