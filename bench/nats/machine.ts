/** A process that serves: a primary whose pool has joined the fleet, or a bare micro service. It ends with whoever forked it. */

import { fileURLToPath } from 'node:url';
import { connect } from '@nats-io/transport-node';
import { balance, supervise } from 'ballermann';
import { join } from 'ballermann/nats';

const [kind, url, name] = process.argv.slice(2) as [string, string, string];
const nc = await connect({ servers: url });
if (kind === 'bare') {
  nc.subscribe(name, {
    queue: 'q',
    callback(_, message) {
      message.respond(JSON.stringify(message.json()));
    },
  });
  await nc.flush();
} else {
  const exec = fileURLToPath(new URL('./replica.js', import.meta.url));
  const supervisor = await supervise({ exec, replicas: 1, log: false, control: false });
  await join(nc, await balance(supervisor, name));
}
process.on('disconnect', () => process.exit());
process.send?.('ready');
