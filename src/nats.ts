/** `ballermann/nats`: pools beyond one machine. NATS carries the calls between machines; in each one nothing changes. */

import type { NatsConnection } from '@nats-io/transport-node';
import type { FleetMember, JoinOptions } from './nats/member.js';
import type { Balancer } from './primary/pools/balancer.js';

export { BallermannError, type ErrorCode } from './errors.js';
export type { Member } from './nats/fleet-members.js';
export { type FleetPool, type FleetPoolOptions, fleetPool } from './nats/fleet-pool.js';
export type { FleetWindowContext } from './nats/fleet-window.js';
export type { FleetMember, JoinOptions } from './nats/member.js';
export type { MemberState } from './nats/presence.js';

/**
 * Has a pool of this primary serve the calls of its fleet: those that `fleetPool(nc, name)` makes on any machine. Resolves
 * when it does. The connection stays the caller's: close it when the member has left.
 * @throws TypeError, RangeError for a wrong argument. BallermannError: ERR_WRONG_PROCESS outside of the primary's main thread,
 * ERR_POOL_EXISTS if the pool has joined by this connection already, ERR_CLOSED, ERR_DISCONNECTED if the connection is closed or
 * the server has no JetStream.
 */
export async function join(
  nc: NatsConnection,
  balancer: Balancer,
  options?: JoinOptions,
): Promise<FleetMember> {
  // Whoever only calls a fleet loads nothing of a primary.
  const member = await import('./nats/member.js');
  return member.join(nc, balancer, options);
}
