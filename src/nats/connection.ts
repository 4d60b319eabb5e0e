/** Whether a connection to NATS is up, and when it is again: one look at its status, however many ask. */

import type { NatsConnection } from '@nats-io/transport-node';
import { badType } from '../arguments.js';
import { BallermannError } from '../errors.js';

interface Watched {
  connected: boolean;
  readonly listeners: Set<() => void>;
}

const watched = new WeakMap<NatsConnection, Watched>();

/** Whether the client has the server at this moment, as far as it has noticed. */
export function isConnected(nc: NatsConnection): boolean {
  return !nc.isClosed() && watch(nc).connected;
}

/** Has `listener` called each time that the connection is there again. It must not throw. @returns what takes it back. */
export function onReconnect(nc: NatsConnection, listener: () => void): () => void {
  const { listeners } = watch(nc);
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function watch(nc: NatsConnection): Watched {
  let state = watched.get(nc);
  if (state === undefined) {
    state = { connected: true, listeners: new Set() };
    watched.set(nc, state);
    void follow(nc, state);
  }
  return state;
}

async function follow(nc: NatsConnection, state: Watched): Promise<void> {
  for await (const { type } of nc.status()) {
    if (type === 'disconnect') state.connected = false;
    if (type !== 'reconnect') continue;
    state.connected = true;
    for (const listener of [...state.listeners]) listener();
  }
  state.connected = false;
}

/** @throws TypeError for what is no connection; BallermannError ERR_DISCONNECTED where it is closed. */
export function checkConnection(nc: NatsConnection): void {
  const { publish, subscribe, isClosed } = (nc ?? {}) as Partial<NatsConnection>;
  if ([publish, subscribe, isClosed].some((method) => typeof method !== 'function'))
    throw badType('nc', 'a connection, as connect() of @nats-io/transport-node resolves with', nc);
  if (nc.isClosed() || nc.isDraining())
    throw new BallermannError('ERR_DISCONNECTED', 'the connection to NATS is closed');
}
