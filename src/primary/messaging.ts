/** Sends one message of any kind to a pool or a replica; what `call`, `cast`, `ping` and the relay have in common. */

import { BallermannError, noSuchReplica } from '../errors.js';
import type { CheckedCallOptions } from '../options.js';
import type { Codec, Payload } from '../wire/codec.js';
import type { RequestKind } from '../wire/protocol.js';
import { type Caller, Message, nobody, type Route } from './message.js';
import { ReplicaProcess } from './replica-process.js';

/**
 * The message settles its caller; what is known at once is thrown instead.
 * @param codec what `payload` is encoded with.
 * @throws BallermannError ERR_NO_SUCH_REPLICA, ERR_DISCONNECTED, ERR_OVERLOAD, ERR_CLOSED.
 */
export function send(
  kind: RequestKind,
  target: Route | ReplicaProcess,
  payload: Payload,
  codec: Codec,
  caller: Caller,
  { timeout, signal, idempotent }: { timeout: number | undefined } & Omit<CheckedCallOptions, 'timeout'>,
): Message {
  const route = target instanceof ReplicaProcess ? undefined : target;
  const message = new Message({ kind, payload, codec, timeout, signal, idempotent, route, caller });
  try {
    if (target instanceof ReplicaProcess) deliver(message, target);
    else target.accept(message);
  } catch (error) {
    message.discard();
    throw error;
  }
  return message;
}

/** A call of this process, with a message that is still to be encoded. Rejects instead of throwing. */
export async function sendCall<Reply>(
  target: Route | ReplicaProcess,
  message: unknown,
  options: CheckedCallOptions,
): Promise<Reply> {
  const { codec } = target;
  const payload = codec.encode(message);
  return new Promise<Reply>((resolve, reject) => {
    const caller: Caller = {
      reject,
      resolve(reply, replyCodec) {
        try {
          resolve(replyCodec.decode(reply) as Reply);
        } catch (cause) {
          reject(new BallermannError('ERR_PROTOCOL', 'the reply cannot be decoded', { cause }));
        }
      },
    };
    send('call', target, payload, codec, caller, options);
  });
}

/** A cast of this process. @throws TypeError, RangeError, and as `send`. */
export function sendCast(target: Route | ReplicaProcess, message: unknown): void {
  const { codec } = target;
  const noLimit = { timeout: undefined, signal: undefined, idempotent: false };
  send('cast', target, codec.encode(message), codec, nobody, noLimit);
}

/** A ping of this process. */
export async function sendPing(target: ReplicaProcess, options: CheckedCallOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    send('ping', target, '', target.codec, { resolve: () => resolve(), reject }, options);
  });
}

function deliver(message: Message, replica: ReplicaProcess): void {
  if (replica.carry(message)) return;
  const { pid } = replica;
  if (replica.state === 'stopping' || replica.state === 'dead')
    throw noSuchReplica(pid, 'the replica is shutting down that has');
  throw new BallermannError('ERR_OVERLOAD', `too much waits for replica ${pid}`, { pid });
}
