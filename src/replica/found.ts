/**
 * The runtime of this process, where the preload has made it a replica. Every copy of this package finds it here, and loads
 * nothing else of a replica's side: that runs in the preload.
 */

import { PROTOCOL_VERSION } from '../channel/protocol.js';
import { BallermannError } from '../errors.js';
import type { Handler } from './messages/mailbox.js';
import type { Requests } from './messages/requests.js';

export type ShutdownHook = (reason: string) => unknown;

/** What scripts and the public functions use of a runtime. */
export interface Runtime {
  readonly requests: Requests;
  /** Aborts when a stop begins. */
  readonly shutdownSignal: AbortSignal;
  handle(handler: Handler): void;
  ready(): void;
  onShutdown(hook: ShutdownHook): void;
}

const KEY = Symbol.for('ballermann.replica');

interface Found {
  readonly protocol: number;
  readonly runtime: Runtime;
}

/** This process's runtime; undefined where it is no replica. @throws BallermannError ERR_PROTOCOL. */
export function replicaRuntime(): Runtime | undefined {
  const found = (globalThis as { [KEY]?: Found })[KEY];
  if (found === undefined || found.protocol === PROTOCOL_VERSION) return found?.runtime;
  throw new BallermannError(
    'ERR_PROTOCOL',
    `the primary and this script have different versions of ballermann (protocol ${found.protocol} and ${PROTOCOL_VERSION}): install one in both`,
  );
}

/** Has every copy of this package in this process find it. */
export function publish(runtime: Runtime): void {
  const value: Found = { protocol: PROTOCOL_VERSION, runtime };
  Object.defineProperty(globalThis, KEY, { value });
}
