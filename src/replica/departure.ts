/**
 * Every way in which a replica can be asked to go: signals, node:cluster's own verbs, Node's end of the channel. All of them
 * become one thing, a wish to the primary, which then orders an orderly stop. The script's own listeners for a signal
 * hear of it at the end of that stop, and not when the signal comes.
 */

import cluster from 'node:cluster';
import { constants } from 'node:os';
import { keepConnected } from '../channel/pipe.js';
import type { Addon } from '../memory/addon.js';
import { hasTerminal } from './terminal.js';

/** What a script may listen for to clean up; the first that it does is the one it is given where the reason names none. */
const ENDING = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export type Ending = (typeof ENDING)[number];

/** An order of the primary's to its worker, as Node's own code reads it. */
const DISCONNECT_ORDER = { cmd: 'NODE_CLUSTER', act: 'disconnect' };

type Emit = (this: NodeJS.Process, event: string | symbol, ...args: unknown[]) => boolean;

export class Departure {
  readonly #wish: (reason: string) => void;
  /** `emit` of process as it was. */
  readonly #emit = process.emit as Emit;
  readonly #hasTerminal = hasTerminal();
  #hasTold = false;
  /** Node's own worker.disconnect() has begun: it ends with a process.disconnect(). */
  #isDisconnecting = false;
  /** Listeners for 'disconnect' that are not the script's. */
  readonly #ownListeners: number;

  /** From now on. @param wish is told each time somebody asks this replica to go, with the reason. */
  constructor(addon: Addon, wish: (reason: string) => void) {
    this.#wish = wish;
    // A terminal sends Ctrl-C and its own end to the whole group, and a service manager SIGTERM. The primary decides.
    addon.onSignal(constants.signals.SIGTERM, () => this.#ask('SIGTERM'));
    addon.onSignal(constants.signals.SIGINT, () => {});
    addon.onSignal(constants.signals.SIGHUP, () => {});
    this.#watchEmit();
    this.#watchKill();
    this.#watchCluster();
    this.#ownListeners = disconnectListeners();
  }

  /** The signal that the script is to be told at the end of a stop; undefined where it listens for none. */
  signalFor(reason: string): Ending | undefined {
    const named = ENDING.filter((signal) => signal === reason);
    return [...named, ...ENDING].find(
      (signal) => this.#withholds(signal) && process.listenerCount(signal) > 0,
    );
  }

  /**
   * Calls the script's listeners for the signal, as Node does when one comes. From now on what the script sends itself
   * takes effect as ever; signals of others have had theirs.
   */
  tell(signal: Ending): void {
    this.#hasTold = true;
    // In a turn of its own: what a listener throws is an uncaught exception.
    setImmediate(() => this.#emit.call(process, signal, signal, constants.signals[signal]));
  }

  /** Whether the script has listeners of its own for the end of the channel. */
  get hasDisconnectListeners(): boolean {
    return disconnectListeners() > this.#ownListeners;
  }

  /** Closes what is shared, and the channel to the primary, as Node does it where the primary has ordered it. */
  disconnect(): void {
    this.#isDisconnecting = true;
    this.#emit.call(process, 'internalMessage', DISCONNECT_ORDER);
  }

  /**
   * Whether the script's listeners hear of it through `tell` only. Without a terminal a SIGHUP may mean anything, to open the log
   * files anew for one; but not to a listener that is there for SIGTERM as well: it cleans up.
   */
  #withholds(event: string | symbol): boolean {
    if (event !== 'SIGHUP' || this.#hasTerminal) return ENDING.includes(event as Ending);
    const enders = process.listeners('SIGTERM');
    return process.listeners('SIGHUP').some((listener) => enders.includes(listener));
  }

  #ask(reason: string): void {
    if (!this.#hasTold) this.#wish(reason);
  }

  /** What Node tells the script by an event of `process`: signals, and the primary's order to disconnect. */
  #watchEmit(): void {
    const departure = this;
    const emit = this.#emit;
    process.emit = function (this: NodeJS.Process, event: string | symbol, ...args: unknown[]): boolean {
      if (event === 'internalMessage') {
        if (!process.channel) return true; // read before its end: Node would answer, and fail an assertion
        if (isDisconnectOrder(args[0])) {
          departure.#ask('disconnect'); // worker.disconnect() or cluster.disconnect() in the primary
          return true;
        }
      }
      if (departure.#withholds(event)) {
        const isSignal = typeof args[1] === 'number';
        if (isSignal || !departure.#hasTold) {
          if (!isSignal) departure.#ask(event as string);
          return process.listenerCount(event as Ending) > 0;
        }
      }
      return Reflect.apply(emit, this, [event, ...args]);
    } as NodeJS.Process['emit'];
  }

  /** Libraries that have cleaned up take their listeners off and send the signal to their own process again, to end it. */
  #watchKill(): void {
    const { kill } = process;
    process.kill = (pid, signal = 'SIGTERM'): true => {
      const own = Number(pid) === process.pid ? this.#ending(signal) : undefined;
      if (own === undefined) return kill.call(process, pid, signal);
      if (!this.#hasTold) this.#ask(own);
      else if (process.listenerCount(own) > 0) this.tell(own);
      else process.exit();
      return true;
    };
  }

  #ending(signal: string | number): Ending | undefined {
    return ENDING.find(
      (name) => (signal === name || signal === constants.signals[name]) && this.#withholds(name),
    );
  }

  /** What a script may call: Node would close the servers at once, and the channel, without any hook. */
  #watchCluster(): void {
    const disconnect = keepConnected(process, () => {
      if (this.#isDisconnecting) disconnect();
      else this.#ask('disconnect');
    });
    const { worker } = cluster;
    if (worker === undefined) return;
    const destroy = (): void => this.#ask('SIGTERM');
    Object.assign(worker, { destroy, kill: destroy });
    worker.disconnect = () => {
      this.#ask('disconnect');
      return worker;
    };
  }
}

function disconnectListeners(): number {
  return process.listenerCount('disconnect') + (cluster.worker?.listenerCount('disconnect') ?? 0);
}

function isDisconnectOrder(message: unknown): boolean {
  if (typeof message !== 'object' || message === null) return false;
  const { cmd, act } = message as { cmd?: unknown; act?: unknown };
  return cmd === DISCONNECT_ORDER.cmd && act === DISCONNECT_ORDER.act;
}
