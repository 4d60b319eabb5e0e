import { connect } from '@nats-io/transport-node';
import { balance, supervise } from 'ballermann';
import { type FleetMember, type FleetPool, fleetPool, join, type Member } from 'ballermann/nats';
import { handle } from 'ballermann/replica';

const answer = handle((n: number) => n + 1);
const nc = await connect();
const supervisor = await supervise({ exec: 'replica.mjs', replicas: 1 });
const member: FleetMember = await join(nc, await balance<typeof answer>(supervisor, 'work'));
const fleet: FleetPool<typeof answer> = fleetPool<typeof answer>(nc, 'work');
const sum: number = await fleet.call(1, { timeout: 100 });
// @ts-expect-error: the handler takes a number
fleet.call('text').catch(() => {});
const token: number = await fleet.applyWithin((context) => context.token);
const members: readonly Member[] = fleet.members();
console.log(sum, token, members);
await member.leave();
