/** Members and callers of a fleet, for tests of windows and presence: real servers and pools, and members that only beat. */

import { hostname } from 'node:os';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type Balancer, balance, type Supervisor } from 'ballermann';
import type { Test } from 'uvu';
import { Fleet } from '#src/nats/fleet-members.js';
import { FleetWindows } from '#src/nats/fleet-window.js';
import { followWindows, type WindowFollower } from '#src/nats/member-window.js';
import { announce, type MemberState, type Presence } from '#src/nats/presence.js';
import { start } from './helpers.js';
import { isMissing, NatsServer } from './nats.js';

/** ms: heartbeats and leases of the tests are short. */
export const BEAT = 200;
export const LEASE = 1_200;

export const idle: MemberState = {
  alive: 1,
  original: 1,
  paused: false,
  unfinished: 0,
  host: hostname(),
  pid: process.pid,
  serialization: 'json',
};

/** A server, or what leads to one. */
type Reachable = Pick<NatsServer, 'url'>;

/** What the tests of a suite share. */
export interface Bed {
  server: NatsServer;
  supervisor: Supervisor;
}

/** Has the suite start and end a server and a supervisor with one replica, where there is a nats-server. They are there in tests. */
export function bedOf(it: Test): Bed {
  const bed: Partial<Bed> = {};
  it.before(async () => {
    if (isMissing) return;
    bed.server = await NatsServer.start();
    bed.supervisor = await start({ replicas: 1 });
  });
  it.after(async () => {
    await bed.supervisor?.close();
    await bed.server?.[Symbol.asyncDispose]();
  });
  return bed as Bed;
}

/** A connection that comes back soon. */
export function client(server: Reachable, name = 'test'): Promise<NatsConnection> {
  const soon = { maxReconnectAttempts: -1, reconnectTimeWait: 20, reconnectJitter: 0 };
  return connect({ servers: server.url, name, ...soon });
}

/** A machine of the fleet `name`, with a connection and a pool of its own. */
export class Machine implements AsyncDisposable {
  readonly nc: NatsConnection;
  readonly balancer: Balancer;
  readonly presence: Presence;
  readonly follower: WindowFollower;

  private constructor(nc: NatsConnection, balancer: Balancer, presence: Presence, follower: WindowFollower) {
    this.nc = nc;
    this.balancer = balancer;
    this.presence = presence;
    this.follower = follower;
  }

  /** Pools of one process have different names; here all are known to the fleet by one. */
  static async start(
    server: Reachable,
    supervisor: Supervisor,
    name: string,
    { own = name, heartbeat = BEAT }: { own?: string; heartbeat?: number } = {},
  ): Promise<Machine> {
    const nc = await client(server, own);
    const balancer = await balance(supervisor, own);
    const member = {
      name,
      applyWithin: balancer.applyWithin.bind(balancer),
    } as unknown as Balancer;
    const presence = await announce(nc, name, undefined, () => idle, { heartbeat });
    const follower = await followWindows(nc, member, presence);
    return new Machine(nc, balancer, presence, follower);
  }

  get isPaused(): boolean {
    return this.balancer.stats().paused;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.presence.leave(), this.follower.leave()]);
    await this.nc.close();
    await this.balancer.close();
  }
}

/** A caller of the fleet, which may open windows. */
export class Caller implements AsyncDisposable {
  readonly nc: NatsConnection;
  readonly fleet: Fleet;
  readonly windows: FleetWindows;

  private constructor(nc: NatsConnection, name: string, lease: number) {
    this.nc = nc;
    this.fleet = new Fleet(nc, name);
    this.windows = new FleetWindows(nc, name, this.fleet, { lease });
  }

  static async start(server: Reachable, name: string, lease = LEASE): Promise<Caller> {
    const caller = new Caller(await client(server, 'caller'), name, lease);
    await caller.fleet.ready;
    return caller;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fleet.close();
    await this.nc.close();
  }
}
