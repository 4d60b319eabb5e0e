/**
 * What a fleet needs to know of its connection to NATS: whether it is up, when it is again, and what the server does not let it
 * do. One look at its status, however many ask.
 */

import {
  type ConnectionOptions,
  createInbox,
  type Msg,
  type NatsConnection,
  type PublishOptions,
  type Subscription,
} from '@nats-io/transport-node';
import { badRange, badType } from '../arguments.js';
import { BallermannError } from '../errors.js';

interface Watched {
  connected: boolean;
  losses: number;
  readonly reconnected: Set<() => void>;
  readonly forbidden: Set<ForbiddenListener>;
  readonly closed: Set<() => void>;
}

/** @param subject to which this client may not publish. @param error for whoever has needed it. */
type ForbiddenListener = (subject: string, error: BallermannError) => void;

const watched = new WeakMap<NatsConnection, Watched>();

/** Whether the client has the server at this moment, as far as it has noticed. */
export function isConnected(nc: NatsConnection): boolean {
  return !nc.isClosed() && watch(nc).connected;
}

/** How often it has been lost so far. What is known of the server from before may not hold: it may have lost its store. */
export function lossesOf(nc: NatsConnection): number {
  return watch(nc).losses;
}

/** Has `listener` called each time that the connection is there again. It must not throw. @returns what takes it back. */
export function onReconnect(nc: NatsConnection, listener: () => void): () => void {
  return listen(watch(nc).reconnected, listener);
}

/** Has `listener` called each time that the server has refused a message. It must not throw. @returns what takes it back. */
export function onForbidden(nc: NatsConnection, listener: ForbiddenListener): () => void {
  return listen(watch(nc).forbidden, listener);
}

/**
 * Has `listener` called when the connection is closed for good. It must not throw. A connection may live for months, and its
 * own closed() would hold whatever waits for it as long.
 * @returns what takes it back.
 */
export function onClosed(nc: NatsConnection, listener: () => void): () => void {
  if (!nc.isClosed()) return listen(watch(nc).closed, listener);
  queueMicrotask(listener);
  return () => {};
}

function listen<Listener>(listeners: Set<Listener>, listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function watch(nc: NatsConnection): Watched {
  const known = watched.get(nc);
  if (known !== undefined) return known;
  const state: Watched = {
    connected: true,
    losses: 0,
    reconnected: new Set(),
    forbidden: new Set(),
    closed: new Set(),
  };
  watched.set(nc, state);
  void follow(nc, state);
  void nc.closed().then(() => over(state));
  return state;
}

function over({ closed }: Watched): void {
  for (const listener of closed) listener();
  closed.clear();
}

async function follow(nc: NatsConnection, state: Watched): Promise<void> {
  for await (const status of nc.status()) {
    switch (status.type) {
      case 'disconnect':
        state.connected = false;
        state.losses++;
        break;
      case 'reconnect':
        state.connected = true;
        for (const listener of [...state.reconnected]) listener();
        break;
      case 'error': {
        const { error } = status;
        if (!isForbidden(error) || error.operation !== 'publish') break;
        const refusal = forbidden(error) as BallermannError;
        for (const listener of [...state.forbidden]) listener(error.subject, refusal);
      }
    }
  }
  state.connected = false;
}

/** As the client's PermissionViolationError; not by its class, of which a process may have several copies. */
interface Forbidden extends Error {
  readonly operation: 'publish' | 'subscription';
  readonly subject: string;
}

function isForbidden(error: unknown): error is Forbidden {
  return error instanceof Error && error.name === 'PermissionViolationError';
}

/** @returns the error for the caller, if `cause` or what has caused it is that the server does not let this client do it. */
export function forbidden(cause: unknown): BallermannError | undefined {
  if (!(cause instanceof Error)) return undefined;
  if (!isForbidden(cause)) return forbidden(cause.cause);
  const { operation, subject } = cause;
  const what = operation === 'publish' ? 'publish' : 'subscribe';
  const text = `the NATS server does not let this client ${what} to '${subject}': see the permissions of its user there`;
  return new BallermannError('ERR_DISCONNECTED', text, { cause });
}

export interface SubscribeOptions {
  readonly queue?: string;
  /** Called, in place of all else, where the server does not let this client subscribe: by the next answer that it sends. */
  readonly refused?: (error: BallermannError) => void;
}

/** What `act` throws ends the process as an uncaught exception. (Thrown into the client, it would stop reading, and say so nowhere.) */
export function subscribe(
  nc: NatsConnection,
  subject: string,
  act: (message: Msg) => void,
  { queue, refused }: SubscribeOptions = {},
): Subscription {
  return nc.subscribe(subject, {
    ...(queue !== undefined && { queue }),
    // The client calls it with an error for this alone.
    callback(error, message) {
      if (error !== null) {
        refused?.(forbidden(error) as BallermannError);
        return;
      }
      if (!hasReadableHeaders(message)) return; // of somebody else
      try {
        act(message);
      } catch (cause) {
        process.nextTick(() => {
          throw cause;
        });
      }
    },
  });
}

/** The client decodes them when they are asked for, and throws where they make no sense. The server lets them pass. */
function hasReadableHeaders(message: Msg): boolean {
  try {
    message.headers;
    return true;
  } catch {
    return false;
  }
}

/**
 * @returns whether it is on its way: not where the connection is closed, or about to be.
 * @throws what the client does where the message is larger than the server takes.
 */
export function publish(
  nc: NatsConnection,
  subject: string,
  data: Uint8Array | string,
  options?: PublishOptions,
): boolean {
  try {
    nc.publish(subject, data, options);
    return true;
  } catch (error) {
    if (CLOSING.has((error as Error).name)) return false;
    throw error;
  }
}

const CLOSING: ReadonlySet<string> = new Set(['ClosedConnectionError', 'DrainingConnectionError']);

/** Idempotent, unlike the subscription's own. */
export function unsubscribe(subscription: Subscription): void {
  if (!subscription.isClosed()) subscription.unsubscribe();
}

/** What connect() was given. The client has it on its connection; its types do not say so. */
function optionsOf(nc: NatsConnection): ConnectionOptions {
  return (nc as NatsConnection & { options?: ConnectionOptions }).options ?? {};
}

/** A subject for answers to this connection, with the prefix that it was given for all of its own. */
export function inboxOf(nc: NatsConnection): string {
  return createInbox(optionsOf(nc).inboxPrefix);
}

/** @throws TypeError, RangeError for what is no connection that can be used; BallermannError ERR_DISCONNECTED where it is closed. */
export function checkConnection(nc: NatsConnection): void {
  const { publish, subscribe, isClosed } = (nc ?? {}) as Partial<NatsConnection>;
  if ([publish, subscribe, isClosed].some((method) => typeof method !== 'function'))
    throw badType('nc', 'a connection, as connect() of @nats-io/transport-node resolves with', nc);
  if (optionsOf(nc).noEcho)
    throw badRange(
      'nc',
      'a connection without noEcho: members and callers of one process would not hear each other',
      'one with it',
    );
  if (nc.isClosed() || nc.isDraining()) throw closedConnection();
}

export function closedConnection(): BallermannError {
  return new BallermannError('ERR_DISCONNECTED', 'the connection to NATS is closed');
}
