/** Sends one message of any kind to a pool or a replica; what `call`, `cast`, `ping` and the relay have in common. */

import { checkMessage } from '../../arguments.js';
import { type Codec, unreadableReply } from '../../channel/codec.js';
import type { RequestKind } from '../../channel/protocol.js';
import { BallermannError, replicaIsStopping } from '../../errors.js';
import type { CheckedCallOptions } from '../../options.js';
import { type CallTrace, calls, traced, tracedNow, validCarrier } from '../../tracing.js';
import {
  type Caller,
  Message,
  type MessageOptions,
  type MessageTrace,
  nobody,
  type Route,
} from './message.js';
import { ReplicaProcess } from './replica-process.js';

/**
 * The message settles its caller; what is known at once is thrown instead.
 * @throws TypeError, RangeError; BallermannError ERR_NO_SUCH_REPLICA, ERR_DISCONNECTED, ERR_OVERLOAD, ERR_CLOSED.
 */
export function send(
  kind: RequestKind,
  target: Route | ReplicaProcess,
  content: unknown,
  caller: Caller,
  options: MessageOptions,
): Message {
  const route = target instanceof ReplicaProcess ? undefined : target;
  const message = new Message(kind, target.codec.encode(content), route, caller, options);
  try {
    if (target instanceof ReplicaProcess) deliver(message, target);
    else target.accept(message);
  } catch (error) {
    message.discard();
    throw error;
  }
  return message;
}

/** A promise of this process. */
class Promised<Reply> implements Caller {
  readonly #resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;

  constructor(resolve: (reply: Reply) => void, reject: (error: unknown) => void) {
    this.#resolve = resolve;
    this.reject = reject;
  }

  resolve(reply: unknown, codec: Codec): void {
    let decoded: Reply;
    try {
      decoded = codec.decode(reply) as Reply;
    } catch (cause) {
      this.reject(unreadableReply(cause));
      return;
    }
    this.#resolve(decoded);
  }
}

/** A call of this process. Rejects instead of throwing. */
export function sendCall<Reply>(
  target: Route | ReplicaProcess,
  message: unknown,
  options: CheckedCallOptions,
): Promise<Reply> {
  if (!calls.hasSubscribers) return promisedCall(target, message, options);
  const trace = callTrace('call', target);
  return traced(calls, trace, () =>
    promisedCall<Reply>(target, message, { ...options, trace: messageTrace(trace) }),
  );
}

function promisedCall<Reply>(
  target: Route | ReplicaProcess,
  message: unknown,
  options: MessageOptions,
): Promise<Reply> {
  return new Promise<Reply>((resolve, reject) => {
    checkMessage(message);
    send('call', target, message, new Promised(resolve, reject), options);
  });
}

/** A cast of this process. @throws TypeError, RangeError, and as `send`. */
export function sendCast(target: Route | ReplicaProcess, message: unknown): void {
  checkMessage(message);
  if (!calls.hasSubscribers) {
    send('cast', target, message, nobody, NO_LIMIT);
    return;
  }
  const trace = callTrace('cast', target);
  tracedNow(calls, trace, () => {
    send('cast', target, message, nobody, { ...NO_LIMIT, trace: messageTrace(trace) });
  });
}

const NO_LIMIT: MessageOptions = { timeout: undefined, signal: undefined, idempotent: false };

/** A ping of this process. */
export function sendPing(target: ReplicaProcess, options: CheckedCallOptions): Promise<void> {
  if (!calls.hasSubscribers) return promisedPing(target, options);
  return traced(calls, callTrace('ping', target), () => promisedPing(target, options));
}

function callTrace(kind: RequestKind, target: Route | ReplicaProcess): CallTrace {
  return target instanceof ReplicaProcess
    ? { kind, pool: undefined, pid: target.pid }
    : { kind, pool: target.name, pid: undefined };
}

/** After 'start', whose subscribers give the carrier. */
function messageTrace(trace: CallTrace): MessageTrace {
  const given = (pid: number): void => {
    trace.pid = pid;
  };
  return { carrier: validCarrier(trace), given };
}

async function promisedPing(target: ReplicaProcess, options: CheckedCallOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    send('ping', target, undefined, { resolve: () => resolve(), reject }, options);
  });
}

function deliver(message: Message, replica: ReplicaProcess): void {
  if (replica.carry(message)) return;
  const { pid } = replica;
  if (replica.state === 'stopping' || replica.state === 'dead') throw replicaIsStopping(pid);
  throw new BallermannError(
    'ERR_OVERLOAD',
    `too many messages wait for replica ${pid}, which does not read them fast enough`,
    { pid },
  );
}
