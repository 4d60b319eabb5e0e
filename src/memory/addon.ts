/** Finds and loads the C++ addon; the only place that knows where it lies. */

import { createRequire } from 'node:module';
import { BallermannError } from '../errors.js';

/** Offsets and sizes in bytes, as native/layout.hpp states them. */
export interface Layout {
  readonly version: number;
  readonly maxReplicas: number;
  readonly slotCount: number;
  readonly poolCount: number;
  readonly nameBytes: number;
  readonly segmentBytes: number;
  readonly slots: number;
  readonly slotBytes: number;
  readonly slotPid: number;
  readonly slotIncarnation: number;
  readonly slotUnfinished: number;
  readonly slotTaken: number;
  readonly slotState: number;
  readonly slotWindows: number;
  readonly slotBlockedAfter: number;
  readonly slotMaxQueue: number;
  readonly slotRequests: number;
  readonly slotBegun: number;
  readonly slotRss: number;
  readonly slotLoopClock: number;
  readonly slotLoopIdle: number;
  readonly slotRunning: number;
  readonly rings: number;
  readonly listeners: number;
  readonly listenerCount: number;
  readonly listenerBytes: number;
  readonly listenerAccepted: number;
  readonly ringBytes: number;
  readonly ringWord: number;
  readonly ringEpoch: number;
  readonly ringCallers: number;
  readonly ringMaxQueue: number;
  readonly ringLeastQueue: number;
  readonly rotationBytes: number;
  readonly rotationKey: number;
  readonly rotationCount: number;
  readonly rotationFirst: number;
  readonly rotationLeft: number;
  readonly rotationPids: number;
  readonly rotationSlots: number;
  readonly noKey: number;
}

/** Answers of `claim`, as native/ring.hpp numbers them. */
export const Claimed = {
  tickets: 0,
  paused: 1,
  empty: 2,
  contended: 3,
} as const;

/** What a slot's state says, as native/layout.hpp numbers it. */
export const SlotState = {
  away: 0,
  serving: 1,
} as const;

export interface Addon {
  /** NODE_MODULE_VERSION that the addon was built for. */
  readonly abi: string;
  readonly layout: Layout;
  /** The descriptor of this process's new segment. */
  createSegment(): number;
  attachSegment(fd: number, slot: number): void;
  sharedMemory(): SharedArrayBuffer | undefined;
  openRing(name: string, maxQueue: number, leastQueue: boolean): number | undefined;
  findRing(name: string): number | undefined;
  closeRing(ring: number): void;
  publish(ring: number, pidsAndSlots: Uint32Array): void;
  claim(ring: number, wanted: number, rotation: Int32Array): number;
  ticket(ring: number): number;
  join(ring: number): number;
  pause(ring: number): void;
  resume(ring: number): void;
  enter(ring: number): boolean;
  leave(ring: number): void;
  runningIn(ring: number): number;
  /** A pipe for one replica, which closes on exec: it inherits the end that reads, the other is the primary's alone. */
  makeLifeline(): { read: number; write: number };
  /** Has the end of that pipe end this process with SIGKILL, whatever it is doing then. Takes the descriptor over. */
  dieWithLifeline(fd: number): void;
  /** Puts /dev/null in the place of each of stdin, stdout and stderr whose terminal has gone. */
  leaveGoneTerminal(): void;
  /** Waits for a child that has ended, whoever started it. False where it lives, or is no child. */
  reap(pid: number): boolean;
  /** Has this thread's event loop write its clock into the slot of this process. */
  startLoopClock(): void;
  /** Has SIGURG write a diagnostic report to this path, even in the middle of JavaScript that never ends. */
  reportOnSignal(path: string): void;
  /** listen(2): 0, or the negative errno. */
  listen(fd: number, backlog: number): number;
  readonly Acceptor: new (
    fd: number,
    listener: number,
    take: (fd: number) => boolean,
    hasRoom: () => boolean,
    hasUnread: () => boolean,
  ) => Acceptor;
}

/**
 * Accepts connections of a listening socket (by a duplicate of `fd`) in turn with the other replicas that do, and hands
 * each to `take`, which answers whether it has taken the descriptor. While `hasRoom` answers false it leaves them to the
 * others, or in the backlog. Where this process was blocked lately it waits a moment while `hasUnread` answers that the
 * last one that was taken has sent nothing yet. Keeps the event loop alive unless told otherwise.
 */
export interface Acceptor {
  start(): void;
  /** For good. */
  close(): void;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
}

const candidates = ['../../build/Release/ballermann.node', '../../build/Debug/ballermann.node'];

let loaded: Addon | undefined;

/** @throws BallermannError ERR_NATIVE_UNAVAILABLE, saying what to run. */
export function addon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  const require = createRequire(import.meta.url);
  const failures: unknown[] = [];
  for (const candidate of candidates) {
    try {
      const found = require(candidate) as Addon;
      if (found.abi === process.versions.modules) return found;
      failures.push(
        new Error(`${candidate} is built for ABI ${found.abi}, this Node has ${process.versions.modules}`),
      );
    } catch (error) {
      failures.push(error);
    }
  }
  throw new BallermannError(
    'ERR_NATIVE_UNAVAILABLE',
    `no addon for Node ${process.version} on ${process.platform}-${process.arch}: run 'npm rebuild ballermann' ` +
      '(it needs python3, make and a C++20 compiler)',
    { cause: new AggregateError(failures, failures.map(String).join('; ')) },
  );
}
