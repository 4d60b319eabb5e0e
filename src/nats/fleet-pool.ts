/** A pool on all machines that have joined it, as whoever calls it sees it. Nothing of a cluster is needed in its process. */

import type { NatsConnection } from '@nats-io/transport-node';
import { withDeadline } from '../aborts.js';
import { badRange, checkMessage, checkNumber, checkOptions, checkString, MAX_TIMER } from '../arguments.js';
import type { MessageOf, ReplyOf } from '../contract.js';
import { BallermannError } from '../errors.js';
import { type CallOptions, type CheckedCallOptions, callOptions } from '../options.js';
import type { WindowOptions } from '../primary/pools/windows.js';
import { type CallTrace, calls, type TraceCarrier, traced, validCarrier } from '../tracing.js';
import { checkConnection } from './connection.js';
import { FleetCalls } from './fleet-call.js';
import { Fleet, type Member } from './fleet-members.js';
import { type FleetWindowContext, FleetWindows } from './fleet-window.js';

export interface FleetPoolOptions {
  /** ms after which a window is over whose coordinator has died or cannot reach the server. @default 10000 */
  lease?: number;
}

/** ms, several round trips to a server and its disk. */
const MIN_LEASE = 500;
/** Bytes of a pool's name, as `balance` has it. */
const MAX_NAME = 120;

/**
 * A pool on all machines that have joined it, as `fleetPool` makes it. `Contract` is the type of its replicas' handler. As an async
 * disposable it is closed at the end of an `await using` block.
 */
export class FleetPool<Contract = unknown> implements AsyncDisposable {
  readonly name: string;
  readonly #fleet: Fleet;
  readonly #calls: FleetCalls;
  readonly #windows: FleetWindows;
  /** Aborts when the pool is closed, with the error that says so. */
  readonly #ending = new AbortController();
  #isReady = false;

  /** Made by `fleetPool`. @internal */
  constructor(nc: NatsConnection, name: string, { lease }: FleetPoolOptions) {
    this.name = name;
    this.#fleet = new Fleet(nc, name, lease);
    this.#calls = new FleetCalls(nc, name, this.#fleet);
    this.#windows = new FleetWindows(nc, name, this.#fleet, { lease });
  }

  /**
   * Sends a message to a machine of the fleet, there to the next replica, and resolves with what its handler returned. A machine
   * that is paused, full or without a replica refuses it, and another one is tried, until the time is over. While a window over
   * the fleet is open, the call waits.
   * @throws TypeError, RangeError for a wrong argument or a message that cannot travel. BallermannError: ERR_REMOTE if the
   * handler threw; ERR_REPLICA_DIED if the replica or its machine died before it answered; ERR_TIMEOUT (after 5,000 ms by
   * default); ERR_OVERLOAD if every machine is full; ERR_DISCONNECTED if no machine serves the pool, none has a replica, or
   * the connection is closed; ERR_CLOSED; ERR_PAUSED from inside a window of this pool. The signal's reason if it aborts: the
   * handler's `context.signal` then aborts as well.
   */
  call<As = Contract>(message: MessageOf<As>, options?: CallOptions): Promise<ReplyOf<As>> {
    try {
      this.#windows.refuseInside('a call');
      checkMessage(message);
      const checked = callOptions(options);
      return this.#traced(message, checked) as Promise<ReplyOf<As>>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Opens a maintenance window over the fleet: every machine holds the pool and finishes what runs there, then `fn` runs, then
   * all go on. A machine that joins meanwhile stays closed; one that dies counts as waited for once its heartbeat has lapsed.
   * If this process dies, the window ends with its lease. It is not airtight across a partition of the network: see the docs.
   * A window waits for a server that does not answer: `options.timeout` limits that.
   * @param wait ms between the last acknowledgement and `fn`.
   * @returns what `fn` returned.
   * @throws what `fn` threw. BallermannError: ERR_TIMEOUT; ERR_DISCONNECTED if the lease was lost, the connection is closed, or
   * the server has no JetStream or does not let this client do it; ERR_PAUSED from inside a window of this pool; ERR_CLOSED. The
   * signal's reason if it aborts.
   */
  async applyWithin<T>(
    fn: (context: FleetWindowContext) => T | PromiseLike<T>,
    wait = 0,
    options: WindowOptions = {},
  ): Promise<T> {
    this.#ending.signal.throwIfAborted();
    return this.#windows.applyWithin(fn, wait, options);
  }

  /** Lists the machines that serve the pool, as their last heartbeats showed them. Empty before `ready` has resolved. */
  members(): readonly Member[] {
    return [...this.#fleet.members()];
  }

  /**
   * Resolves once the members are known. Calls and windows wait for it themselves. After a failure, the next look at it tries
   * again.
   * @throws BallermannError: ERR_DISCONNECTED if they cannot be read, as from a server without JetStream.
   */
  get ready(): Promise<void> {
    return this.#fleet.ready;
  }

  /** Calls and windows that are under way reject with ERR_CLOSED. The connection stays the caller's. */
  close(): void {
    const { signal } = this.#ending;
    if (signal.aborted) return;
    this.#ending.abort(new BallermannError('ERR_CLOSED', `the fleet's pool '${this.name}' is closed`));
    this.#windows.close(signal.reason);
    this.#calls.close(signal.reason);
    this.#fleet.close();
  }

  /** As close(). */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #traced(message: unknown, options: CheckedCallOptions): Promise<unknown> {
    if (!calls.hasSubscribers) return this.#call(message, options, undefined);
    const trace: CallTrace = { kind: 'call', pool: this.name, pid: undefined };
    return traced(calls, trace, () => this.#call(message, options, validCarrier(trace)));
  }

  #call(message: unknown, options: CheckedCallOptions, carrier: TraceCarrier | undefined): Promise<unknown> {
    return this.#isReady
      ? this.#calls.call(message, options, carrier)
      : this.#firstCall(message, options, carrier);
  }

  /** Before the members are known. The time that it takes to know them counts. */
  async #firstCall(
    message: unknown,
    options: CheckedCallOptions,
    carrier: TraceCarrier | undefined,
  ): Promise<unknown> {
    const { timeout, signal } = options;
    const began = performance.now();
    const late = (): BallermannError =>
      new BallermannError(
        'ERR_TIMEOUT',
        `no answer to the call to the fleet's pool '${this.name}' within ${timeout} ms: its members are not known yet`,
      );
    const { signal: closed } = this.#ending;
    const ended = signal === undefined ? closed : AbortSignal.any([closed, signal]);
    await withDeadline({ timeout, signal: ended }, late, (ending) => this.#fleet.known(ending.signal));
    this.#isReady = true;
    const left = timeout - (performance.now() - began);
    if (left <= 0) throw late();
    return this.#calls.call(message, { ...options, timeout: left }, carrier);
  }
}

/**
 * A pool that machines have joined by `join`, for calls and windows over all of them. Works in any process, and sends nothing but
 * by the connection, which stays the caller's.
 * @throws TypeError, RangeError for a wrong argument. BallermannError: ERR_DISCONNECTED if the connection is closed.
 */
export function fleetPool<Contract = unknown>(
  nc: NatsConnection,
  name: string,
  options: FleetPoolOptions = {},
): FleetPool<Contract> {
  checkConnection(nc);
  const bytes = Buffer.byteLength(checkString('name', name));
  if (bytes < 1 || bytes > MAX_NAME) throw badRange('name', `1 to ${MAX_NAME} bytes long in UTF-8`, name);
  checkOptions('options', options, ['lease']);
  if (options.lease !== undefined) checkNumber('options.lease', options.lease, MIN_LEASE, MAX_TIMER);
  return new FleetPool<Contract>(nc, name, options);
}
