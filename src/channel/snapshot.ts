/**
 * A copy of what JSON would carry of a value, for values that are plain data. It is made instead of the JSON text,
 * because the text would be encoded a second time with the batch that it travels in. It is just what JSON.parse would give of
 * that text, since a heavy one does not travel as text.
 */

/** Says that JSON.stringify must be asked: the value is not plain, or not for sure. */
export const NOT_PLAIN = Symbol('not plain');

/** Deeper values are left to JSON.stringify, which also finds circles. */
const MAX_DEPTH = 64;

/** What a number, a boolean, a null or a pair of brackets weighs, and a key beside its own length. */
const SMALL = 6;

export class Snapshot {
  /** About the characters of the JSON text. */
  weight = 0;
  readonly #maxWeight: number;

  constructor(maxWeight: number) {
    this.#maxWeight = maxWeight;
  }

  /** Stops early, with something incomplete, once `weight` is above the maximum. */
  of(value: unknown, depth = 0): unknown {
    switch (typeof value) {
      case 'string':
        this.weight += value.length + 2;
        return value;
      case 'object':
        if (value === null) break;
        return this.#ofObject(value, depth);
      case 'bigint':
        return NOT_PLAIN; // JSON.stringify says why not
      case 'function':
        if ('toJSON' in value) return NOT_PLAIN; // JSON would ask it, later
        this.weight += SMALL;
        return undefined; // left out, as JSON leaves functions and symbols out
      case 'symbol':
        this.weight += SMALL;
        return undefined;
      case 'number':
        this.weight += SMALL;
        if (!Number.isFinite(value)) return null;
        return value === 0 ? 0 : value; // JSON has no -0
      default:
    }
    this.weight += SMALL;
    return value;
  }

  #ofObject(value: object, depth: number): unknown {
    if (depth > MAX_DEPTH || typeof (value as { toJSON?: unknown }).toJSON === 'function') return NOT_PLAIN;
    this.weight += SMALL;
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.#ofRecord(value, depth + 1);
    if (prototype === Array.prototype) return this.#ofArray(value as unknown[], depth + 1);
    return NOT_PLAIN;
  }

  #ofRecord(value: object, depth: number): unknown {
    const copy: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      if (key === '__proto__') return NOT_PLAIN; // an assignment would set the prototype
      this.weight += key.length + SMALL;
      if (this.weight > this.#maxWeight) return copy;
      const item = this.of((value as Record<string, unknown>)[key], depth);
      if (item === NOT_PLAIN) return NOT_PLAIN;
      if (item !== undefined) copy[key] = item;
    }
    return copy;
  }

  #ofArray(value: readonly unknown[], depth: number): unknown {
    const copy: unknown[] = [];
    for (let i = 0; i < value.length && this.weight <= this.#maxWeight; i++) {
      const item = this.of(value[i], depth);
      if (item === NOT_PLAIN) return NOT_PLAIN;
      copy.push(item === undefined ? null : item);
    }
    return copy;
  }
}
