// A machine and a caller, each with a connection of its own, to the server of NATS_URL.
import assert from 'node:assert/strict';
import { connect } from '@nats-io/transport-node';
import { balance, supervise } from 'ballermann';
import { fleetPool, join } from 'ballermann/nats';

const servers = process.env.NATS_URL;
const [near, far] = [await connect({ servers }), await connect({ servers })];
const supervisor = await supervise({ exec: new URL('replica.mjs', import.meta.url), replicas: 1 });
await join(near, await balance(supervisor, 'squares'));

const fleet = fleetPool(far, 'squares');
assert.deepEqual(await fleet.call({ n: 12 }), { square: 144, primary: process.pid });
assert.equal(await fleet.applyWithin(() => fleet.members().length), 1);

await supervisor.close();
await Promise.all([near.close(), far.close()]);
console.log('all answers right');
