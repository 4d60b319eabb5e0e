/** Values as bytes: what comes out of the serializer of the addon is what went into it, as with that of node:v8. */

import { isDeepStrictEqual } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addon } from '#src/memory/addon.js';

const KB = 1024;

const native = addon();
const through = <T>(value: T): T => native.deserialize(native.serialize(value)) as T;

/** Of every kind of view. */
interface Kind {
  readonly name: string;
  readonly BYTES_PER_ELEMENT?: number;
  new (buffer: ArrayBuffer, offset: number, length: number): ArrayBufferView;
}

const kinds = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
  (globalThis as { Float16Array?: Kind }).Float16Array, // since Node 24
].filter((kind) => kind !== undefined) as Kind[];

function bytesOf(view: ArrayBufferView): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}

function filled(length: number, shift = 0): ArrayBuffer {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 7 + shift;
  return bytes.buffer;
}

test('every value that node:v8 carries arrives as it does with it', () => {
  const cloneable = fc
    .anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withSparseArray: true,
    })
    .filter((value) => isDeepStrictEqual(structuredClone(value), value));
  fc.assert(
    fc.property(cloneable, (value) => isDeepStrictEqual(through(value), value)),
    { numRuns: 500 },
  );
  const circular: { self?: unknown; at: Date } = { at: new Date(5) };
  circular.self = circular;
  const arrived = through(circular);
  assert.is(arrived.self, arrived);
  for (const value of [
    /x/g,
    new RangeError('e'),
    new Map([[{ a: 1 }, new Set([1n])]]),
    Object('s'),
    undefined,
    filled(10),
  ])
    assert.equal(through(value), deserialize(serialize(value)));
});

test('views of every kind and size: as they were, and with their own bytes alone', () => {
  for (const Kind of kinds) {
    for (const length of [0, 8, 64, 8 * KB, 64 * KB, 80 * KB]) {
      // In a larger buffer, in an object that puts them at any place among the bytes.
      for (const padding of ['', 'x', 'xyz']) {
        const view = new Kind(filled(length + 16), 8, length / (Kind.BYTES_PER_ELEMENT ?? 1));
        const arrived = through({ padding, view, after: 'after' });
        assert.is(arrived.after, 'after');
        assert.is(arrived.view.constructor, Kind);
        assert.is(arrived.view.byteLength, length);
        assert.ok(bytesOf(arrived.view).equals(bytesOf(view)), `${Kind.name} of ${length}`);
      }
    }
  }
});

test('a Buffer arrives as a Buffer, without the pool that it lies in', () => {
  for (const length of [0, 1, 100, 4 * KB, 63 * KB, 64 * KB, 1024 * KB]) {
    const buffer = Buffer.from(filled(length, length));
    const { sent, more } = through({ sent: buffer, more: Buffer.from('more') });
    assert.ok(Buffer.isBuffer(sent) && Buffer.isBuffer(more));
    assert.ok(sent.equals(buffer));
    assert.is(more.toString(), 'more');
    assert.ok(more.buffer.byteLength < 8 * KB);
    sent.fill(1); // it can be written to
  }
  class Own extends Uint8Array {}
  const arrived = through(new Own([1, 2]));
  assert.is(arrived.constructor, Uint8Array, 'a class stays at home');
  const { buffer } = through(new Uint8Array(new SharedArrayBuffer(3)).fill(4));
  assert.instance(buffer, ArrayBuffer, 'a copy of what is shared');
});

test('what node:v8 refuses is refused, with its reason, and what a getter throws is thrown', () => {
  for (const value of [
    () => {},
    Symbol('s'),
    new WeakMap(),
    new SharedArrayBuffer(4),
    Promise.resolve(),
    { deep: [() => {}] },
  ])
    assert.throws(
      () => native.serialize(value),
      (error: Error) => /could not be cloned/.test(error.message),
    );
  const reason = { not: 'an error' };
  const throwing = {
    get field() {
      throw reason;
    },
  };
  try {
    native.serialize(throwing);
    assert.unreachable();
  } catch (error) {
    assert.is(error, reason);
  }
  // One that serializes something else in the middle.
  const nested = {
    get field() {
      return through([1, 2, 3]);
    },
  };
  assert.equal(through(nested), { field: [1, 2, 3] });
});

test('bytes that are no value are an error, whatever they are, and nothing else', () => {
  const good = Buffer.from(
    serialize({ a: [1, 'two', new Uint8Array(9), new Map([[1, 2n]])], b: 'x'.repeat(100) }),
  );
  const anyBytes = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
  const spoiled = fc
    .tuple(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }), fc.nat(good.length))
    .map(([changes, length]) => {
      const copy = Buffer.from(good);
      for (const [at, byte] of changes) copy[at] = byte;
      return copy.subarray(0, length);
    });
  const read = (bytes: unknown): void => {
    try {
      native.deserialize(bytes);
    } catch (error) {
      assert.instance(error, Error);
    }
  };
  fc.assert(
    fc.property(fc.oneof(anyBytes, spoiled), (bytes) => {
      read(bytes);
      read(bytes.toString('latin1'));
      read(Buffer.concat([Buffer.of(0xff, 0x0f, 0x5c), bytes])); // a view
    }),
    { numRuns: 2_000 },
  );
  // Each kind of view there is and is not, also those that this Node knows behind a flag alone: V8 aborts if asked for one.
  for (let kind = 0; kind < 256; kind++) {
    const head = Buffer.of(0xff, 0x0f, 0x5c, ...(kind < 128 ? [kind] : [kind, 1]));
    for (const length of [0, 8, 9, 127]) read(Buffer.concat([head, Buffer.of(length), Buffer.alloc(length)]));
  }
  for (const value of [undefined, null, 5, {}, [], new Uint16Array(4)])
    assert.throws(() => native.deserialize(value), /neither a string nor bytes/);
});

test.run();
