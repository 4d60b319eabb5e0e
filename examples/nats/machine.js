/**
 * A machine of the fleet: two replicas, and a pool that serves whoever calls it over NATS. Start it on as many machines as you like.
 *
 *   NATS_URL=nats://127.0.0.1:4222 node examples/nats/machine.js
 */

import { connect } from '@nats-io/transport-node';
import { balance, supervise } from 'ballermann';
import { join } from 'ballermann/nats';

const nc = await connect({ servers: process.env.NATS_URL, maxReconnectAttempts: -1, timeout: 5_000 });
const supervisor = await supervise({ exec: new URL('./worker.js', import.meta.url), replicas: 2 });
const pool = await balance(supervisor, 'squares');
await join(nc, pool); // SIGTERM ends it in order: what has begun is answered, the rest goes to other machines
supervisor.once('close', () => nc.close()); // else it would keep the process alive
console.log(`machine ${process.pid} serves`);
