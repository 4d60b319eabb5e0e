/** Loads the C++ addon, and sees to it that all copies of this package in a process have one and the same. */

import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads';
import { BallermannError } from '../errors.js';
import { packageFile } from '../package-files.js';
import { addonFiles, advice, thisTarget } from './addon-files.js';

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
  readonly slotAccepted: number;
  readonly slotRunning: number;
  readonly rings: number;
  readonly listeners: number;
  readonly listenerCount: number;
  readonly listenerBytes: number;
  readonly listenerAccepted: number;
  readonly ringBytes: number;
  readonly ringWord: number;
  readonly ringWrapped: number;
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
  blocked: 2,
} as const;

export interface Addon {
  /** NODE_MODULE_VERSION that the addon was built for. */
  readonly abi: string;
  readonly layout: Layout;
  /** The descriptor of this process's new segment. */
  createSegment(): number;
  attachSegment(fd: number, slot: number): void;
  /** Of the primary's segment, one that nobody has; undefined where all are taken. */
  takeSlot(): number | undefined;
  giveSlotBack(slot: number): void;
  takeListener(): number | undefined;
  giveListenerBack(listener: number): void;
  sharedMemory(): SharedArrayBuffer | undefined;
  openRing(name: string, maxQueue: number, leastQueue: boolean): number | undefined;
  findRing(name: string): number | undefined;
  closeRing(ring: number): void;
  /** @returns where the tickets of the generation before have ended, and where those of the new one begin. */
  publish(ring: number, pidsAndSlots: Uint32Array): [last: number, first: number];
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
  /** Calls back each time the signal comes. Its default action is not taken any more, whoever listens in JavaScript. */
  onSignal(signal: number, callback: () => void): void;
  /** listen(2): 0, or the negative errno. */
  listen(fd: number, backlog: number): number;
  /** Another descriptor of the same socket, which no process that is started inherits; or the negative errno. */
  duplicate(fd: number): number;
  /** Whether the other side of a connection has closed it, or the half that it writes, though nobody has read that yet. */
  hasPeerClosed(fd: number): boolean;
  /** flock(2) of an open file, until its last descriptor is closed. False where somebody else has it. @throws */
  lockFile(fd: number): boolean;
  /** The user of the process at the other end of a Unix socket. @throws */
  peerUser(fd: number): number;
  /** Sends one datagram to a Unix socket, by its path or by '@' and its abstract name: 0, or the negative errno. Never blocks. */
  notify(address: string, message: string): number;
  /** The memory and the two bells of a new channel, by descriptors which close on exec; nothing else has them. */
  makeChannel(): ChannelDescriptors;
  /**
   * One end of a channel. It takes over the descriptors that it is given.
   * @param take gets each message, a text or a value, and answers whether it wants another one now; else `resume` says when.
   * @param written is called when all is written that had to wait for room.
   * @param broken is called once, where the other side has written what makes no sense: nothing is read or written any more.
   */
  readonly ChannelEnd: new (
    isPrimary: boolean,
    memory: number,
    ear: number,
    bell: number,
    take: (message: unknown) => boolean,
    written: () => void,
    broken: (why: string) => void,
  ) => ChannelEnd;
  /** Has all ends of this thread take what has come by now: a turn of the event loop takes only so much. */
  catchUp(): void;
  /** One number: when the message was found that an end of this thread hands over now. ms of process.hrtime. */
  turnClock(): Float64Array;
  /** As node:v8 serializes. A short result is a string whose characters are the bytes: V8 makes one much faster. @throws */
  serialize(value: unknown): string | Uint8Array;
  /** @param bytes as `serialize` gives them. Views of 64 KiB or more lie in their memory. @throws Error where they are none. */
  deserialize(bytes: unknown): unknown;
  readonly Acceptor: new (
    fd: number,
    listener: number,
    take: (fd: number) => boolean,
    hasRoom: () => boolean,
  ) => Acceptor;
}

/**
 * Accepts connections of a listening socket (by a duplicate of `fd`) in turn with the other replicas that do, and hands
 * each to `take`, which answers whether it has taken the descriptor. While `hasRoom` answers false it leaves them to the
 * others, or in the backlog. Keeps the event loop alive unless told otherwise.
 */
export interface Acceptor {
  /** 0, or the negative errno: it does not listen then. */
  start(): number;
  /** Takes all that waits now, in this turn of the event loop. */
  takeWaiting(): void;
  /** For good. */
  close(): void;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
}

export interface ChannelDescriptors {
  readonly memory: number;
  /** Where the primary is rung, and where it rings. */
  readonly ear: number;
  readonly bell: number;
  /** The same of the replica. */
  readonly replicaEar: number;
  readonly replicaBell: number;
}

/** Keeps no event loop alive. */
export interface ChannelEnd {
  /** @returns whether all of it is written; what is not waits for room. */
  writeText(text: string): boolean;
  /** The same of a value, as `serialize`. @throws what keeps it from being serialized; nothing is written then. */
  writeValue(value: unknown): boolean;
  /** Waits, without the event loop, until all is written. @returns false where the other side makes no room for `ms`. */
  flush(ms: number): boolean;
  /** Hands over all that is there: for when the other side has ended. */
  drain(): void;
  resume(): void;
  /** For good. */
  close(): void;
}

/** Of `Layout` and `Addon` that this module knows; as native/layout.hpp states it. */
const VERSION = 5;

/** Of Node's environment data, which is there in this thread and in those that it starts: where to load the addon from. */
const OF_ALL_COPIES = 'ballermann.addon';
const ofThisCopy = (): string => `${OF_ALL_COPIES} of ${packageFile('')}`;

/** Codes of Node's where its own options keep it from loading any addon. */
const REFUSALS = new Set<unknown>(['ERR_DLOPEN_DISABLED', 'ERR_ACCESS_DENIED']);

let loaded: { readonly addon: Addon; readonly path: string } | undefined;

/** @throws BallermannError ERR_NATIVE_UNAVAILABLE, saying what to do. */
export function addon(): Addon {
  loaded ??= load();
  return loaded.addon;
}

/** Where the addon has been loaded from. @throws BallermannError ERR_NATIVE_UNAVAILABLE. */
export function addonPath(): string {
  loaded ??= load();
  return loaded.path;
}

/**
 * Replica: from now on every copy of this package in this process loads its addon from there. It has to be one file, since
 * the segment is the library's, and another file is another library.
 */
export function shareAddon(path: string): void {
  setEnvironmentData(OF_ALL_COPIES, path);
}

/** Primary: the same for this copy's worker threads alone, since another copy has a segment of its own. */
export function keepAddon(path: string): void {
  setEnvironmentData(ofThisCopy(), path);
}

function load(): { addon: Addon; path: string } {
  const failures: unknown[] = [];
  for (const path of places()) {
    try {
      const module = { exports: {} as Addon };
      process.dlopen(module, path);
      checkVersions(path, module.exports);
      return { addon: module.exports, path };
    } catch (error) {
      if (error instanceof BallermannError && error.code === 'ERR_PROTOCOL') throw error;
      failures.push(error);
    }
  }
  throw unavailable(failures);
}

/** @throws BallermannError ERR_PROTOCOL for the addon of a copy of this package that is of another version. */
function checkVersions(path: string, { abi, layout }: Addon): void {
  if (abi !== process.versions.modules)
    throw new Error(`${path} is built for ABI ${abi}, this Node has ${process.versions.modules}`);
  if (layout.version === VERSION) return;
  const text = `${path} is of version ${layout.version}, this copy of ballermann needs ${VERSION}: install one version only`;
  throw path === getEnvironmentData(OF_ALL_COPIES)
    ? new BallermannError('ERR_PROTOCOL', text)
    : new Error(text);
}

/** In the order in which they are tried. What is not reached is not computed. */
function* places(): Generator<string> {
  const shared = getEnvironmentData(OF_ALL_COPIES);
  if (typeof shared === 'string') yield shared;
  const kept = shared === undefined ? getEnvironmentData(ofThisCopy()) : undefined;
  if (typeof kept === 'string') yield kept;
  for (const file of addonFiles(thisTarget())) yield packageFile(file);
}

function unavailable(failures: readonly unknown[]): BallermannError {
  const isRefused = failures.some((error) => REFUSALS.has((error as { code?: string }).code));
  const text = isRefused
    ? 'this Node may not load addons: start it without --no-addons; with --permission, add --allow-addons and ' +
      '--allow-child-process'
    : advice(thisTarget());
  const cause = new AggregateError(failures, failures.map(String).join('; '));
  return new BallermannError('ERR_NATIVE_UNAVAILABLE', text, { cause });
}
