/** Batches that no honest replica sends: real ones, changed in some places, and values of any kind. */

import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { type Balancer, call } from 'ballermann';
import fc from 'fast-check';
import { addon } from '#src/memory/addon.js';
import { note, pidAt } from './gate.js';
import { fixture } from './helpers.js';

/** The environment of a replica that does with its channel what it likes: see test/fixtures/tap.cjs. */
export const tapped = { NODE_OPTIONS: `--require ${fileURLToPath(fixture('tap.cjs'))}` };

/**
 * What the two environment variables of a long or a repeated run say: BALLERMANN_FORGED, how many messages;
 * BALLERMANN_SEED, the seed that a failed run has named.
 */
export function runs(messages: number): { count: number; seed: number } {
  const { BALLERMANN_FORGED: count, BALLERMANN_SEED: seed } = process.env;
  return { count: Number(count ?? messages), seed: Number(seed ?? randomInt(2 ** 31)) };
}

/** Runs `work` with a seed, and says which it was where that fails. */
export async function replayable(seed: number, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    console.error(`to see this again: BALLERMANN_SEED=${seed}`, (error as Error).cause ?? '');
    throw error;
  }
}

type Take = (message: unknown) => boolean;

/** Each batch that the replicas send, as it comes to the primary, and where it comes. */
export class Recorder implements Disposable {
  readonly batches: unknown[] = [];
  /** Of each replica, what takes a message from it. */
  readonly takes: Take[] = [];
  readonly #addon = addon();
  readonly #class = this.#addon.ChannelEnd;

  constructor() {
    const recorder = this;
    const ChannelEnd = class extends this.#class {
      constructor(...args: ConstructorParameters<ReturnType<typeof addon>['ChannelEnd']>) {
        const [isPrimary, memory, ear, bell, take, ...others] = args;
        recorder.takes.push(take);
        const seen: Take = (message) => {
          recorder.batches.push(typeof message === 'string' ? JSON.parse(message) : structuredClone(message));
          return take(message);
        };
        super(isPrimary, memory, ear, bell, seen, ...others);
      }
    };
    Object.assign(this.#addon, { ChannelEnd });
  }

  [Symbol.dispose](): void {
    Object.assign(this.#addon, { ChannelEnd: this.#class });
  }
}

/** Has the replicas send one of each kind of message. */
export async function converse(pool: Balancer): Promise<void> {
  const [first, second] = [pidAt(pool.pids(), 0), pidAt(pool.pids(), 1)];
  await Promise.all(
    Array.from({ length: 4 }, () => pool.call({ op: 'echo', value: { a: [1, 'two', null] } })),
  );
  await call(first, { op: 'raise', what: 'error' }).catch(() => {});
  for (const target of ['pool', second, 'nowhere'])
    await call(first, { op: 'attempt', what: 'call', args: [target, note('relayed'), { timeout: 500 }] });
  await call(first, { op: 'attempt', what: 'ping', args: [second, { timeout: 500 }] });
  await call(first, { op: 'attempt', what: 'cast', args: ['pool', note('cast')] });
}

/** Values that have surprised somebody before. */
const surprising: readonly unknown[] = [
  null,
  undefined,
  true,
  0,
  -1,
  1.5,
  70_000,
  2 ** 31,
  2 ** 53,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  '',
  '0',
  'pool',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'x'.repeat(10_000),
  [],
  [[]],
  {},
  { length: 2 ** 32 },
  { toString: 1, valueOf: null },
  JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'),
  [['ready']],
];

type Change = readonly [how: number, path: readonly number[], value: unknown];

const value = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...surprising) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 40 }) },
);

const change: fc.Arbitrary<Change> = fc.tuple(fc.nat(5), fc.array(fc.nat(7), { maxLength: 5 }), value);

/** One of `real`, as it was or changed in up to three places. Repeated as it was, it is one that comes twice. */
export function mutated<Real extends object>(real: readonly Real[]): fc.Arbitrary<Real> {
  return fc
    .tuple(fc.constantFrom(...real), fc.array(change, { maxLength: 3 }))
    .map(([message, changes]) => changes.reduce(changed<Real>, structuredClone(message)));
}

/** Any value where a batch ought to be, or an entry. */
export const ofAnything: fc.Arbitrary<unknown> = fc
  .anything({ maxDepth: 2, withBigInt: true, withDate: true, withMap: true, withNullPrototype: true })
  .chain((value) => fc.constantFrom<unknown>(value, [value]));

/** Words of node:cluster and node:child_process, with any values. */
export const ofNode: fc.Arbitrary<object> = fc
  .record(
    {
      cmd: fc.constantFrom('NODE_CLUSTER', 'NODE_HANDLE', 'NODE_HANDLE_ACK', 'NODE_HANDLE_NACK', 'NODE_'),
      act: fc.constantFrom('online', 'queryServer', 'ballermannListen', 'listening', 'close', '__proto__'),
      ack: fc.oneof(fc.integer({ min: -3, max: 3 }), value),
      seq: fc.oneof(fc.nat(9), value),
      key: value,
      port: fc.oneof(fc.constant(-1), value), // no good port: each would be bound
      address: fc.constantFrom<unknown>(null, undefined, 5, {}, []),
      addressType: fc.oneof(fc.constantFrom(4, 6, -1, 'udp4'), value),
      fd: fc.constantFrom<unknown>(undefined, null, -1, {}, 2 ** 40),
      type: value,
      msg: value,
      accepted: value,
      listener: value,
      backlog: value,
    },
    { requiredKeys: ['cmd'] },
  )
  .filter((message) => !(Number.isInteger(message.port) && Number(message.port) >= 0));

function changed<Real extends object>(message: Real, [how, path, given]: Change): Real {
  const value = structuredClone(given); // its own: a later change may be made in it
  let place: object = message;
  for (const step of path) {
    const keys = Object.keys(place);
    const next = keys.length > 0 && (place as Record<string, unknown>)[keys[step % keys.length] as string];
    if (typeof next !== 'object' || next === null) break;
    place = next;
  }
  if (place instanceof Uint8Array) {
    place.fill(0xff, how, 2 * how + 1);
    return message;
  }
  const keys = Object.keys(place);
  const key = keys[(path.at(-1) ?? 0) % Math.max(1, keys.length)];
  const fields = place as Record<string, unknown>;
  switch (how) {
    case 0: // cut off
      if (Array.isArray(place)) place.length = Math.floor(place.length / 2);
      else if (key !== undefined) Reflect.deleteProperty(place, key);
      break;
    case 1: // once more
      if (Array.isArray(place)) place.push(...place.slice(0, 100));
      else if (key !== undefined) fields[`${key}2`] = fields[key];
      break;
    case 2: // a key that sets the prototype where it is assigned
      Reflect.defineProperty(place, '__proto__', {
        value,
        enumerable: true,
        writable: true,
        configurable: true,
      });
      break;
    case 3: // a text cut off
      if (key !== undefined && typeof fields[key] === 'string') fields[key] = `${fields[key]}`.slice(0, -1);
      break;
    default:
      if (key !== undefined) Reflect.set(place, key, value);
  }
  return message;
}
