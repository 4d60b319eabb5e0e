/** Calls, casts and pings that replicas ask for: the primary makes them and sends the answers back. */

import type { RequestEntry } from '../channel/protocol.js';
import { BallermannError, targetName, toErrorData } from '../errors.js';
import { pools } from './pools/pools.js';
import { type Caller, type Message, type MessageTrace, nobody } from './replicas/message.js';
import { send } from './replicas/messaging.js';
import { replicaOf } from './replicas/registry.js';
import type { ReplicaProcess } from './replicas/replica-process.js';

/** The requests under way, by replica and the replica's id. */
const underWay = new Map<ReplicaProcess, Map<number, Message>>();

function request(replica: ReplicaProcess, entry: RequestEntry): void {
  const [, id, kind, target, timeout, idempotent] = entry;
  if (replica.state === 'dead') return; // its last words: nobody waits for an answer
  const requests = underWay.get(replica) ?? new Map<number, Message>();
  underWay.set(replica, requests);
  if (requests.has(id)) return; // a replica that repeats an id spoils its own calls only
  const caller: Caller = {
    resolve(reply, codec) {
      requests.delete(id);
      try {
        replica.answer(id, replica.codec.encode(codec.decode(reply)));
      } catch (error) {
        replica.fail(id, error);
      }
    },
    reject(error) {
      requests.delete(id);
      replica.fail(id, error);
    },
  };
  const isCast = kind === 'cast';
  try {
    const to = typeof target === 'string' ? pools.get(target).route : replicaOf(target);
    const options = {
      timeout: isCast ? undefined : timeout,
      signal: undefined,
      idempotent,
      trace: traceOf(entry),
    };
    const payload = entry[0] === 'request' ? entry[6] : entry[8];
    const message = send(kind, to, replica.codec.decode(payload), isCast ? nobody : caller, options);
    if (!isCast && !message.settled) requests.set(id, message);
  } catch (error) {
    if (isCast) replica.castFailed(lost(replica, target, error));
    else caller.reject(error);
  }
}

/** The caller's own: the handler's part of the trace follows from it directly, and the primary adds none. */
function traceOf(entry: RequestEntry): MessageTrace | undefined {
  if (entry[0] === 'request') return undefined;
  return { carrier: { traceparent: entry[6], tracestate: entry[7] } };
}

/** A cast of the replica's, which has not waited to hear of it. */
function lost({ pid }: ReplicaProcess, target: string | number, cause: unknown): BallermannError {
  const text = `the cast of replica ${pid} to ${targetName(target)} was not sent: ${toErrorData(cause).message}`;
  const code = cause instanceof BallermannError ? cause.code : 'ERR_PROTOCOL';
  return new BallermannError(code, text, { cause, pid });
}

function withdraw(replica: ReplicaProcess, id: number): void {
  underWay.get(replica)?.get(id)?.cancel(new BallermannError('ERR_CLOSED', 'the caller has stopped waiting'));
}

/** The replica is gone: nobody waits for its answers. */
function forget(replica: ReplicaProcess): void {
  const requests = underWay.get(replica);
  underWay.delete(replica);
  for (const message of requests?.values() ?? []) {
    message.cancel(new BallermannError('ERR_CLOSED', 'the caller is gone'));
  }
}

export const relay = { request, withdraw, forget };
