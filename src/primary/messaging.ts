/** Sends one message of any kind to a pool or a pid; what `call`, `cast`, `ping` and the relay have in common. */

import { BallermannError, noSuchReplica } from '../errors.js';
import type { Codec, Payload } from '../wire/codec.js';
import type { RequestKind } from '../wire/protocol.js';
import { type Caller, Message } from './message.js';
import { pools, replicaOf } from './registry.js';

export interface SendOptions {
  readonly timeout: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly idempotent: boolean;
  /** What `payload` is encoded with. */
  readonly codec: Codec;
}

/**
 * The message settles its caller; what is known at once is thrown instead.
 * @throws BallermannError ERR_NO_SUCH_POOL, ERR_NO_SUCH_REPLICA, ERR_DISCONNECTED, ERR_OVERLOAD.
 */
export function send(
  kind: RequestKind,
  target: string | number,
  payload: Payload,
  caller: Caller,
  options: SendOptions,
): Message {
  if (typeof target === 'string') {
    const route = pools.get(target);
    const message = new Message({ kind, payload, caller, route, ...options });
    route.accept(message);
    return message;
  }
  const replica = replicaOf(target);
  const message = new Message({ kind, payload, caller, route: undefined, ...options });
  if (!replica.carry(message)) {
    message.discard();
    if (replica.state !== 'up') throw noSuchReplica(target, 'the replica is shutting down that has');
    throw new BallermannError('ERR_OVERLOAD', `too much waits for replica ${target}`, { pid: target });
  }
  return message;
}
