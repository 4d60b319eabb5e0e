/**
 * What the parts of a round trip take, each by itself and warm, with both ends of a channel in this process. What is then
 * missing to a whole round trip: bells and wake-ups (see floor.c), Node's event loop, promises, and what is cold.
 */

import { openSync } from 'node:fs';
import { type Codec, codecs } from '#src/channel/codec.js';
import { entryOf, isToPrimary, isToReplica, unpack } from '#src/channel/protocol.js';
import { foundAt } from '#src/channel/turn-clock.js';
import { addon, type ChannelEnd } from '#src/memory/addon.js';
import { Latency } from '#src/primary/metrics/latency.js';
import { calls, handles } from '#src/tracing.js';
import { spread } from '../figures.js';
import type { Payload, Reply } from './messages.js';

/** µs a round trip: of the message and of the reply together. */
export interface Parts {
  /** The copy that is made at the call, and the text of the batch. */
  readonly encode: number;
  /** The text into shared memory. */
  readonly write: number;
  /** Out of it, as a string, in a callback of its own. */
  readonly read: number;
  /** JSON.parse, the checks of the entries, and the value for the handler or the caller. */
  readonly decode: number;
  /** The reply's latency put into its bucket, and on both sides the question whether somebody traces. */
  readonly observe: number;
}

type Travel = Omit<Parts, 'observe'>;

/** Of a round; and so many at a time are in the channel. */
const TRIPS = 2000;
const AT_A_TIME = 100;

/** Rounds until V8 has compiled what is measured. */
const WARM_UP = 20;

export class RoundTripParts {
  readonly #codec: Codec = codecs.json;
  readonly #primary: ChannelEnd;
  readonly #replica: ChannelEnd;
  #came: string[] = [];

  constructor() {
    const { makeChannel, ChannelEnd } = addon();
    const { memory, ear, bell, replicaEar, replicaBell } = makeChannel();
    const again = openSync(`/proc/self/fd/${memory}`, 'r+'); // each end closes its own
    const take = (text: unknown): boolean => this.#came.push(text as string) > 0;
    const broken = (why: string): never => {
      throw new Error(`the channel: ${why}`);
    };
    this.#primary = new ChannelEnd(true, memory, ear, bell, take, () => {}, broken);
    this.#replica = new ChannelEnd(false, again, replicaEar, replicaBell, take, () => {}, broken);
  }

  /** @returns medians. @throws Error at a wrong reply. */
  measure(payload: Payload, rounds: number): Parts {
    for (let round = 0; round < WARM_UP; round++) this.#round(payload);
    const measured = Array.from({ length: rounds }, () => this.#round(payload));
    const median = (part: keyof Parts): number => spread(measured.map((parts) => parts[part])).median;
    return {
      encode: median('encode'),
      write: median('write'),
      read: median('read'),
      decode: median('decode'),
      observe: median('observe'),
    };
  }

  close(): void {
    this.#primary.close();
    this.#replica.close();
  }

  #round({ make, check }: Payload): Parts {
    const messages = Array.from({ length: TRIPS }, (_, n) => make(n));
    const there = this.#travel('call', messages, this.#primary, this.#replica);
    const back = this.#travel('result', there.arrived, this.#replica, this.#primary);
    for (const [n, reply] of back.arrived.entries()) check(n, reply as Reply);
    const both = (part: keyof Travel): number => there.parts[part] + back.parts[part];
    return {
      encode: both('encode'),
      write: both('write'),
      read: both('read'),
      decode: both('decode'),
      observe: observed(),
    };
  }

  /** One half of every round trip: a part for all of them, then the next part. */
  #travel(
    tag: 'call' | 'result',
    values: readonly unknown[],
    from: ChannelEnd,
    to: ChannelEnd,
  ): { parts: Travel; arrived: unknown[] } {
    const texts: string[] = [];
    const encode = timed(() => {
      for (const [id, value] of values.entries())
        texts.push(JSON.stringify([entryOf(tag, id, this.#codec.encode(value).value)]));
    });
    this.#came = [];
    let write = 0;
    let read = 0;
    for (let begin = 0; begin < TRIPS; begin += AT_A_TIME) {
      write += timed(() => {
        for (const text of texts.slice(begin, begin + AT_A_TIME)) from.writeText(text);
      });
      read += timed(() => to.drain());
    }
    const arrived: unknown[] = [];
    const decode = timed(() => {
      for (const text of this.#came) {
        const batch: unknown = JSON.parse(text);
        if (tag === 'call') unpack(batch, isToReplica, (entry) => arrived.push(this.#codec.decode(entry[2])));
        else unpack(batch, isToPrimary, (entry) => arrived.push(this.#codec.decode(entry[2])));
      }
    });
    return { parts: { encode, write, read, decode }, arrived };
  }
}

function observed(): number {
  const latency = new Latency();
  let traced = 0;
  const before = foundAt() - 1; // ms
  const observe = timed(() => {
    for (let trip = 0; trip < TRIPS; trip++) {
      if (calls.hasSubscribers || handles.hasSubscribers) traced++;
      latency.record(foundAt() - before);
    }
  });
  if (traced > 0 || latency.snapshot().count !== TRIPS)
    throw new Error('a trip was not observed, or was traced');
  return observe;
}

/** @returns µs for one of `TRIPS`. */
function timed(act: () => void): number {
  const begin = performance.now();
  act();
  return ((performance.now() - begin) * 1000) / TRIPS;
}
