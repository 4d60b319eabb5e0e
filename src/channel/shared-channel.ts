/**
 * One end of the channel in shared memory between the primary and a replica. A batch travels as JSON text, which is the
 * fastest for many small entries; one heavy entry, and all with `serialization: 'advanced'`, by V8's serializer, which
 * writes straight into the shared memory.
 */

import { addon, type ChannelDescriptors, type ChannelEnd } from '../memory/addon.js';
import type { Serialization } from './codec.js';
import type { Port } from './outbox.js';

/** ms that a process which is about to exit waits for the other side to read something. */
const PATIENCE = 5_000;

/** One side's part of a channel's descriptors. */
export type SideDescriptors = Pick<ChannelDescriptors, 'memory' | 'ear' | 'bell'>;

export interface ChannelReader {
  /** @returns whether it wants the next one now; else `resume` says when. */
  take(batch: unknown): boolean;
  /** The other side has written what makes no sense: nothing more comes. At most once. */
  broken(cause: Error): void;
}

export class SharedChannel<Entry> implements Port<Entry> {
  readonly #end: ChannelEnd;
  readonly #isAdvanced: boolean;
  readonly #reader: ChannelReader;
  #written: (() => void) | undefined;
  #isBroken = false;

  /** @param descriptors it takes them over. @throws Error with code ERR_PROTOCOL where they are no channel of this version. */
  constructor(
    side: 'primary' | 'replica',
    { memory, ear, bell }: SideDescriptors,
    serialization: Serialization,
    reader: ChannelReader,
  ) {
    this.#isAdvanced = serialization === 'advanced';
    this.#reader = reader;
    const { ChannelEnd } = addon();
    this.#end = new ChannelEnd(
      side === 'primary',
      memory,
      ear,
      bell,
      (message) => this.#take(message),
      () => this.#written?.(),
      (why) => this.#broken(new Error(why)),
    );
  }

  write(batch: readonly Entry[], isHeavy: boolean, written: () => void): boolean {
    this.#written = written;
    return this.#isAdvanced || isHeavy
      ? this.#end.writeValue(batch)
      : this.#end.writeText(JSON.stringify(batch));
  }

  flush(): boolean {
    return this.#end.flush(PATIENCE);
  }

  /** Reads all that is there: the other side has ended. */
  drain(): void {
    this.#end.drain();
  }

  resume(): void {
    this.#end.resume();
  }

  close(): void {
    this.#end.close();
  }

  #take(message: unknown): boolean {
    if (this.#isBroken) return false;
    let batch = message;
    if (typeof message === 'string') {
      try {
        batch = JSON.parse(message);
      } catch (error) {
        this.#broken(error as Error);
        return false;
      }
    }
    return this.#reader.take(batch);
  }

  #broken(cause: Error): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#reader.broken(cause);
  }
}
