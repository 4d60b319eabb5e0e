/** A pool of this primary as a member of its fleet: joined in an order that lets no call slip into a window, left without a loss. */

import cluster from 'node:cluster';
import { hostname } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import type { NatsConnection } from '@nats-io/transport-node';
import {
  badRange,
  badType,
  checkInteger,
  checkNumber,
  checkOptions,
  checkString,
  MAX_TIMER,
} from '../arguments.js';
import { BallermannError, wrongProcess } from '../errors.js';
import { Balancer } from '../primary/pools/balancer.js';
import { checkConnection } from './connection.js';
import { answerDiscovery } from './discovery.js';
import { followWindows } from './member-window.js';
import { announce, LAPSE, type MemberState, type Presence } from './presence.js';
import { Serving } from './serving.js';

/** ms: an event loop that is busy for longer than three of them would make a member that works seem dead. */
const MIN_HEARTBEAT = 100;

export interface JoinOptions {
  /**
   * The name under which the tools of NATS see the pool as a micro service. Letters, digits, `_` and `-`.
   * @default the pool's name, with `_` in the place of other characters
   */
  service?: string;
  /** Calls of the fleet that are begun and unanswered at most. What is more goes to other machines. @default 1024 a replica */
  maxUnfinished?: number;
  /** ms between two heartbeats, at least 100. After three without one, this member counts as gone. @default 2000 */
  heartbeat?: number;
}

/** A pool in the fleet, as `join` resolves with it. As an async disposable it leaves at the end of an `await using` block. */
export interface FleetMember extends AsyncDisposable {
  /** Unique to this joining. */
  readonly id: string;
  /** The name of the pool. */
  readonly pool: string;
  /** The name of the micro service. */
  readonly service: string;
  /**
   * Takes no more calls of the fleet, and resolves when those that it has begun are answered. A call that still comes in goes
   * to another member. The pool itself goes on. The close of the supervisor and of the pool do the same first. Never rejects.
   */
  leave(): Promise<void>;
}

const joined = new WeakMap<NatsConnection, Set<string>>();

/**
 * Has a pool of this primary serve the calls of its fleet: those that `fleetPool(nc, name)` makes on any machine. Resolves
 * when it does. The connection stays the caller's: close it when the member has left.
 * @throws TypeError, RangeError for a wrong argument. BallermannError: ERR_WRONG_PROCESS outside of the primary's main thread,
 * ERR_POOL_EXISTS if the pool has joined by this connection already, ERR_CLOSED, ERR_DISCONNECTED if the connection is closed,
 * the server has no JetStream, or it does not let this client subscribe.
 */
export async function join(
  nc: NatsConnection,
  balancer: Balancer,
  options: JoinOptions = {},
): Promise<FleetMember> {
  if (!isMainThread || cluster.isWorker) {
    const where = isMainThread ? `replica ${process.pid}` : 'a worker thread';
    throw wrongProcess('join', "the primary's main thread", where);
  }
  checkConnection(nc);
  if (!(balancer instanceof Balancer))
    throw badType('balancer', 'the Balancer that balance() resolved with', balancer);
  checkOptions('options', options, ['service', 'maxUnfinished', 'heartbeat']);
  const { service = balancer.name.replace(/[^\w-]/g, '_'), maxUnfinished, heartbeat } = options;
  if (!/^[\w-]+$/.test(checkString('options.service', service)))
    throw badRange('options.service', 'of letters, digits, _ and -', service);
  if (maxUnfinished !== undefined) checkInteger('options.maxUnfinished', maxUnfinished, 1, 2 ** 31 - 1);
  if (heartbeat !== undefined) checkNumber('options.heartbeat', heartbeat, MIN_HEARTBEAT, MAX_TIMER / LAPSE);
  const { name } = balancer;
  if (balancer.hasEnded) throw ended(name);
  const pools = joined.get(nc) ?? new Set();
  joined.set(nc, pools);
  if (pools.has(name)) {
    const text = `pool '${name}' has joined by this connection already: leave() that membership first`;
    throw new BallermannError('ERR_POOL_EXISTS', text);
  }
  pools.add(name);
  try {
    const member = await enter(nc, balancer, { service, maxUnfinished, heartbeat }, () => pools.delete(name));
    return member;
  } catch (error) {
    pools.delete(name);
    throw error;
  }
}

/** Announced, then following windows, then serving: see member-window.ts why no window can miss it. */
async function enter(
  nc: NatsConnection,
  balancer: Balancer,
  {
    service,
    maxUnfinished,
    heartbeat,
  }: { service: string; maxUnfinished: number | undefined; heartbeat: number | undefined },
  left: () => void,
): Promise<FleetMember> {
  let serving: Serving | undefined;
  const standing = (): MemberState => serving?.state() ?? stateBefore(balancer);
  const presence = await announce(nc, balancer.name, undefined, standing, { heartbeat });
  try {
    const windows = await followWindows(nc, balancer, presence);
    serving = new Serving(nc, balancer, presence.id, { maxUnfinished }, () => windows.isOpen);
    const { tally } = serving;
    const hide = answerDiscovery(nc, { name: service, id: presence.id, pool: balancer.name, tally });
    const offNews = onNews(balancer, () => presence.update(standing()));
    let leaving: Promise<void> | undefined;
    const leave = async (): Promise<void> => {
      offNews();
      balancer.off('close', begin);
      await serving?.leave();
      hide();
      const ended = windows.leave(); // a window that is open is waited for by nobody: the member has no calls
      ended.catch(() => {});
      await presence.leave().catch(() => {});
      unfollow();
      left();
    };
    const begin = (): Promise<void> => {
      leaving ??= leave();
      return leaving;
    };
    // The supervisor's close waits for it, so the last answers are on their way when the process ends.
    const unfollow = balancer.follow({ ended: begin });
    balancer.once('close', begin);
    try {
      await serving.begun();
      if (balancer.hasEnded) throw ended(balancer.name); // perhaps before anything here listened
    } catch (error) {
      await begin();
      throw error;
    }
    presence.update(standing());
    return {
      id: presence.id,
      pool: balancer.name,
      service,
      leave: begin,
      [Symbol.asyncDispose]: begin,
    };
  } catch (error) {
    await quietly(presence);
    throw error;
  }
}

function ended(pool: string): BallermannError {
  return new BallermannError('ERR_CLOSED', `pool '${pool}' has ended`);
}

async function quietly(presence: Presence): Promise<void> {
  await presence.leave().catch(() => {});
}

/** It does not serve yet, so nobody should choose it. */
function stateBefore({ route, standing }: Balancer): MemberState {
  const serialization = route.codec.serialization;
  return { ...standing, paused: true, unfinished: 0, host: hostname(), pid: process.pid, serialization };
}

const NEWS = ['pause', 'resume', 'connect', 'disconnect', 'refresh'] as const;

/** @returns what ends it. */
function onNews(balancer: Balancer, listener: () => void): () => void {
  for (const name of NEWS) balancer.on(name, listener);
  return () => {
    for (const name of NEWS) balancer.off(name, listener);
  };
}
